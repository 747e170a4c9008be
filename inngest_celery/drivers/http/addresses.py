"""Where a server on its own may be sent by what others say: not into the network that it stands in."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit


class PrivateAddressError(ValueError):
    """An address leads into this machine's own network. ``code`` is ``private_address``."""

    code = "private_address"

    def __init__(self, host: str, address: str) -> None:
        super().__init__(
            f"{host} is {address}, an address of this server's own network, which others may not have it call. "
            "If that is meant to be, set inngest_allow_private_addresses."
        )


def refuse_private(url: str) -> None:
    """Refuse an address that leads into a private network, wherever its name points.

    Raises:
        PrivateAddressError: one of its addresses is not public.
    """
    host = urlsplit(url).hostname or ""
    for address in _addresses(host):
        found = ipaddress.ip_address(address)
        mapped = getattr(found, "ipv4_mapped", None) or found
        if not mapped.is_global or mapped.is_multicast:
            raise PrivateAddressError(host, address)


def _addresses(host: str) -> list[str]:
    try:
        return sorted({str(found[4][0]).partition("%")[0] for found in socket.getaddrinfo(host, None)})
    except (socket.gaierror, UnicodeError):
        # There is nowhere to connect to either.
        return []
