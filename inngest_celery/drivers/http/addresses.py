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
    public_addresses(urlsplit(url).hostname or "")


def public_addresses(host: str) -> list[str]:
    """Look a name up, and give its addresses; none, if there is no such name.

    Whoever connects is to connect to one of these: a second look-up may be answered differently.

    Raises:
        PrivateAddressError: one of them is not public.
    """
    found = _addresses(host)
    for address in found:
        if not _is_public(address):
            raise PrivateAddressError(host, address)
    return found


def _is_public(address: str) -> bool:
    found = ipaddress.ip_address(address)
    mapped = getattr(found, "ipv4_mapped", None) or found
    return mapped.is_global and not mapped.is_multicast


def _addresses(host: str) -> list[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        # There is nowhere to connect to either.
        return []
    return list(dict.fromkeys(str(each[4][0]).partition("%")[0] for each in found))
