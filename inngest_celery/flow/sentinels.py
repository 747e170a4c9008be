"""Where a Redis is that sentinels look after: they are asked at each new connection, so a failover needs no restart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from inngest_celery.flow import tls

SCHEME = "sentinel://"
_PORT = 26379
_DEFAULT_NAME = "mymaster"
_TLS = {"ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"}


@dataclass(frozen=True, slots=True)
class Sentinels:
    """The sentinels, and what they look after.

    Attributes:
        hosts: address and port of each.
        master_name: what they call it.
        database: its number.
        own: how to log in to it, and the options of TLS.
        theirs: how to log in to them, and the options of TLS.
    """

    hosts: list[tuple[str, int]]
    master_name: str
    database: int
    own: dict[str, Any]
    theirs: dict[str, Any]


def read(url: str) -> Sentinels:
    """Read ``sentinel://:password@host:26379;sentinel://other:26379/0?master_name=…``, which is kombu's form.

    The name of the master comes as ``master_name`` (``mymaster`` if it is left out), the account at the sentinels, if
    they have one, as ``sentinel_username`` and ``sentinel_password``. The database is that of the last address. For TLS
    there are ``ssl=true`` or the client's options (``ssl_ca_certs=…``); they are for the sentinels, too, unless
    ``sentinel_ssl=false`` says that those have none.

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
    encrypted = _tls_of(given)
    path = parts[-1].path.strip("/")
    return Sentinels(
        hosts=[(str(part.hostname), part.port or _PORT) for part in parts],
        master_name=given.get("master_name", _DEFAULT_NAME),
        database=int(path or 0),
        own=encrypted | {name: value for name, value in login.items() if value},
        theirs=(encrypted if given.get("sentinel_ssl") != "false" else {})
        | {name: value for name, value in theirs.items() if value},
    )


def _tls_of(given: dict[str, str]) -> dict[str, Any]:
    options: dict[str, Any] = {name: value for name, value in given.items() if name.startswith("ssl_")}
    if unknown := sorted(options.keys() - _TLS):
        raise ValueError(f"there is no option {unknown[0]!r} of TLS; there are {', '.join(sorted(_TLS))}")
    if not options and given.get("ssl") != "true":
        return {}
    if "ssl_check_hostname" in options:
        options["ssl_check_hostname"] = options["ssl_check_hostname"].lower() == "true"
    return {"ssl": True, **options}


def shown(url: str) -> str:
    """Give the URL without what is nobody's business."""
    found = read(url)
    return f"{SCHEME}{','.join(f'{host}:{port}' for host, port in found.hosts)}, {found.master_name}"


def url_of_broker(url: str, transport_options: dict[str, Any], encrypted: object = None) -> str:
    """Give the URL of what Celery is configured with.

    Args:
        transport_options: ``broker_transport_options``, where the name and what is for the sentinels stand.
        encrypted: kombu's ``Connection.ssl``: a dict of options, or whether to use TLS at all.
    """
    theirs = transport_options.get("sentinel_kwargs") or {}
    said = {
        "master_name": transport_options.get("master_name"),
        "sentinel_username": theirs.get("username"),
        "sentinel_password": theirs.get("password"),
        **({"ssl": "true", **tls.texts_of(encrypted)} if encrypted else {}),
        **({"sentinel_ssl": "false"} if encrypted and not theirs.get("ssl") else {}),
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
