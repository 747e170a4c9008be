"""The HTTP server of ``dev`` and ``start``: a thread beside the one that looks after the worker."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from inngest_celery.cli.group import Failure

if TYPE_CHECKING:
    import uvicorn
    from celery import Celery

    from inngest_celery.server.options import Options

HOW_TO_INSTALL = "pip install 'inngest-celery[server]'"
_STOP_S = 10.0
_START_S = 30.0
# So long calls of apps that have dialled in may take to end.
_DRAIN_S = 10.0


def missing_package() -> str | None:
    """Give the name of a package that the HTTP server takes and that is not installed; ``None`` if all are."""
    try:
        import uvicorn  # noqa: F401

        from inngest_celery.server import application  # noqa: F401
    except ImportError as error:
        return str(error.name)
    return None


@contextmanager
def serving(app: Celery, options: Options, host: str, port: int, gateway_port: int | None = None) -> Iterator[int]:
    """Serve HTTP meanwhile; gives the port.

    Args:
        app: the Celery app.
        options: how to serve.
        host, port: where; port 0 takes any that is free.
        gateway_port: where apps dial in; if left out, the port after the other one, or any if that is taken.

    Raises:
        Failure: the port is taken, or what it takes is not installed.
    """
    missing = missing_package()
    if missing is not None:
        raise Failure(
            "server_missing", f"The HTTP server needs more packages ({missing} is missing): {HOW_TO_INSTALL}."
        )
    import uvicorn

    from inngest_celery.server.application import create_app
    from inngest_celery.worker.runtime import runtime_of

    listening = _listen(host, port)
    gateway_listening = (
        _listen_beside(listening, host)
        if gateway_port is None
        else _listen(host, gateway_port, "--connect-gateway-port")
    )
    options = replace(options, gateway_port=_port_of(gateway_listening))
    served = create_app(runtime_of(app), options)
    config = uvicorn.Config(served, log_level="warning", access_log=False, timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    # Not the main thread: Ctrl-C ends the worker first, and us after it.
    sockets = [listening, gateway_listening]
    thread = threading.Thread(target=server.run, args=(sockets,), name="inngest-http", daemon=True)
    thread.start()
    try:
        _wait_started(server, thread)
        yield _port_of(listening)
    finally:
        served.state.realtime.stop()
        served.state.live.stop()
        if served.state.gateway is not None and server.started:
            served.state.gateway.drain(_DRAIN_S)
        server.should_exit = True
        thread.join(_STOP_S)
        listening.close()
        gateway_listening.close()


def _listen(host: str, port: int, option: str = "--port") -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Without the protocol asyncio does not know that it is TCP, and the second part of each answer waits for 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise Failure(
            "port_unavailable", f"Cannot listen on {host}:{port} ({error.strerror}). Choose another one with {option}."
        ) from error
    listening.listen(2048)
    return listening


def _listen_beside(listening: socket.socket, host: str) -> socket.socket:
    """Listen where apps dial in. They are told where, so another port than the usual one is as good."""
    try:
        return _listen(host, _port_of(listening) + 1)
    except (Failure, OverflowError):
        return _listen(host, 0)


def _port_of(listening: socket.socket) -> int:
    return int(listening.getsockname()[1])


def _wait_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    ready = threading.Event()
    for _ in range(round(_START_S / 0.02)):
        if server.started or not thread.is_alive():
            break
        ready.wait(0.02)
    if not server.started:
        raise Failure("server_failed", "The HTTP server did not start; the log above says why.")
