"""Which requests come from this machine, and mean it.

A development server asks for nothing, so any website that its developer looks at could drive it. Two things tell a
website's requests: whom the browser says it asks for (``Sec-Fetch-Site`` and ``Origin``), and, where the website has
had its own name resolved to this machine, that name in ``Host``.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from inngest_celery.server.state import server_of

ANY = "*"


def is_loopback(name: str) -> bool:
    """Tell whether a name or address is this machine's own, whatever network it is in.

    Example:
        >>> [is_loopback(name) for name in ("localhost", "app.localhost", "127.0.0.9", "::1", "localhost.evil.com")]
        [True, True, True, True, False]
    """
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def host_of(request: HTTPConnection) -> str:
    """Give the name under which a request asks for this server, in lower case and without the port."""
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""


def is_own_name(request: HTTPConnection) -> bool:
    """Tell whether a request asks for a development server by a name that it goes by."""
    allowed = server_of(request).options.allowed_hosts
    host = host_of(request)
    return is_loopback(host) or host in allowed or ANY in allowed


def is_at_home(request: HTTPConnection) -> bool:
    """Tell whether a request comes from this machine and asks for it; or for a name that is open to all."""
    allowed = server_of(request).options.allowed_hosts
    host = host_of(request)
    if host in allowed or ANY in allowed:
        return True
    return request.client is not None and is_loopback(request.client.host) and is_loopback(host)


def is_foreign(request: HTTPConnection) -> bool:
    """Tell whether a browser makes a request for a page of another origin."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("origin")
    if origin is None:
        return False
    # A proxy in front may ask for this server by another name than browsers do.
    own = (request.headers.get("host", ""), urlsplit(server_of(request).settings.public_url or "").netloc)
    return urlsplit(origin).netloc.lower() not in (name.lower() for name in own if name)


def is_browser(request: HTTPConnection) -> bool:
    """Tell whether a request says that a browser makes it for a page. One that does not may still be a browser's."""
    return "sec-fetch-site" in request.headers or "origin" in request.headers
