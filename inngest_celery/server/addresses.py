"""Addresses of apps, in one form, so that an app is one app however its address was written."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from inngest_celery.server.errors import ApiError

_LOCAL = frozenset({"localhost", "127.0.0.1", "0.0.0.0", "::1", "[::1]"})
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_CALLED_WITH = frozenset({"deployId", "fnId", "stepId", "probe"})
_LONGEST = 1024


def normalised(url: str, *, keep_call: bool = False) -> str:
    """Give an address in its usual form: one name for this machine, no default port, nothing of a single call.

    Args:
        url: as it was given.
        keep_call: whether what names a function and a step stays.

    Raises:
        ApiError: 400, it is no address of an app.

    Example:
        >>> normalised("http://127.0.0.1:80/api/inngest?deployId=7&x=1")
        'http://localhost/api/inngest?x=1'
    """
    parts = urlsplit(url.strip())
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in _PORTS or not parts.hostname or port == -1 or len(url) > _LONGEST:
        raise ApiError(
            400, f"{url[:200]!r} is no address of an app: write for example http://localhost:3000/api/inngest",
            code="url_invalid",
        )  # fmt: skip
    host = "localhost" if parts.hostname in _LOCAL else parts.hostname
    host = f"[{host}]" if ":" in host else host
    netloc = host if port in (None, _PORTS[parts.scheme]) else f"{host}:{port}"
    dropped = frozenset({"deployId", "probe"}) if keep_call else _CALLED_WITH
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in dropped]
    return urlunsplit((parts.scheme, netloc, parts.path, urlencode(query), ""))
