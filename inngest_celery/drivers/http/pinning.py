"""Connects to the address that was checked, and to no other: a name may be answered differently the next time."""

from __future__ import annotations

import ssl
from collections.abc import Iterable

import httpcore
import httpx
from httpcore import SOCKET_OPTION, NetworkBackend, NetworkStream, SyncBackend

from inngest_celery.drivers.http.addresses import public_addresses


class PublicTransport(httpx.HTTPTransport):
    """Connects to public addresses only. Certificates are still checked for the name, which the app is told, too."""

    def __init__(self, limits: httpx.Limits, trusted: ssl.SSLContext) -> None:
        super().__init__(verify=trusted, limits=limits)
        # httpx lets nobody say what a pool connects with, so it gets another pool.
        self._pool = httpcore.ConnectionPool(
            ssl_context=trusted,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=_PublicBackend(),
        )


class _PublicBackend(NetworkBackend):
    def __init__(self) -> None:
        self._connects = SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> NetworkStream:
        failed: httpcore.NetworkError | httpcore.TimeoutException = httpcore.ConnectError(f"there is no host {host}")
        for address in public_addresses(host):
            try:
                return self._connects.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed
