"""Where a Redis is that sentinels look after: they are asked at each new connection, so a failover needs no restart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

SCHEME = "sentinel://"
_PORT = 26379
_DEFAULT_NAME = "mymaster"


@dataclass(frozen=True, slots=True)
class Sentinels:
    """The sentinels, and what they look after.

    Attributes:
        hosts: address and port of each.
        master_name: what they call it.
        database: its number.
        own: how to log in to it.
        theirs: how to log in to them.
    """

    hosts: list[tuple[str, int]]
    master_name: str
    database: int
    own: dict[str, str]
    theirs: dict[str, str]


def read(url: str) -> Sentinels:
    """Read ``sentinel://:password@host:26379;sentinel://other:26379/0?master_name=…``, which is kombu's form.

    The name of the master comes as ``master_name`` (``mymaster`` if it is left out), the account at the sentinels, if
    they have one, as ``sentinel_username`` and ``sentinel_password``. The database is that of the last address.

    Raises:
        ValueError: it cannot be read so.

    Example:
        >>> read("sentinel://:secret@a:26379;sentinel://b/2?master_name=jobs").hosts
        [('a', 26379), ('b', 26379)]
    """
    addresses, _, query = url.partition("?")
    parts = [urlsplit(each if "://" in each else SCHEME + each) for each in addresses.split(";") if each]
    given = {name: values[-1] for name, values in parse_qs(query, strict_parsing=bool(query)).items()}
    if not all(part.hostname for part in parts) or not addresses.startswith(SCHEME):
        raise ValueError("it is not of the form sentinel://host:26379;sentinel://host:26379/0?master_name=mymaster")
    first = next((part for part in parts if part.password), parts[0])
    login = {"username": unquote(first.username or ""), "password": unquote(first.password or "")}
    theirs = {"username": given.get("sentinel_username", ""), "password": given.get("sentinel_password", "")}
    path = parts[-1].path.strip("/")
    return Sentinels(
        hosts=[(str(part.hostname), part.port or _PORT) for part in parts],
        master_name=given.get("master_name", _DEFAULT_NAME),
        database=int(path or 0),
        own={name: value for name, value in login.items() if value},
        theirs={name: value for name, value in theirs.items() if value},
    )


def shown(url: str) -> str:
    """Give the URL without what is nobody's business."""
    found = read(url)
    return f"{SCHEME}{','.join(f'{host}:{port}' for host, port in found.hosts)}, {found.master_name}"


def url_of_broker(url: str, transport_options: dict[str, Any]) -> str:
    """Give the URL of what Celery is configured with: there the name stands in ``broker_transport_options``."""
    own = transport_options.get("sentinel_kwargs") or {}
    said = {
        "master_name": transport_options.get("master_name"),
        "sentinel_username": own.get("username"),
        "sentinel_password": own.get("password"),
    }
    query = urlencode({name: value for name, value in said.items() if value}, quote_via=quote)
    return f"{url.partition('?')[0]}?{query}" if query else url


def master(url: str, kind: Any, **options: Any) -> Any:
    """Give a client of the master, wherever it is.

    Args:
        url: see :func:`read`.
        kind: ``redis.sentinel.Sentinel``, or the asynchronous one.
        options: of all connections, those to sentinels included.
    """
    found = read(url)
    sentinels = kind(found.hosts, sentinel_kwargs={**options, **found.theirs})
    return sentinels.master_for(found.master_name, db=found.database, **found.own, **options)
