"""What the routes of one server share."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import metadata
from typing import Annotated

from fastapi import Depends, Request
from starlette.requests import HTTPConnection

from inngest_celery.settings import Settings
from inngest_celery.worker.runtime import Runtime

VERSION = metadata.version("inngest-celery")


@dataclass(frozen=True, slots=True)
class Options:
    """How a server is run.

    Attributes:
        development: whether it is ``dev``: no keys, apps are looked for.
        sdk_urls: the apps that were named.
        discovery: whether apps are looked for on this machine.
        poll_interval: how often apps are asked whether they have changed, in seconds; 0 asks never.
        poll_all: whether all are, and not only those whose last synchronisation failed.
        event_keys: what events may be sent with; none, any key may.
        gateway_port: where apps dial in; where everything else is served, if left out.
    """

    development: bool = True
    sdk_urls: tuple[str, ...] = ()
    discovery: bool = True
    poll_interval: float = 5.0
    poll_all: bool = True
    event_keys: frozenset[str] = field(default_factory=frozenset)
    gateway_port: int | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """A server: what it serves, and how."""

    runtime: Runtime
    options: Options

    @property
    def settings(self) -> Settings:
        return self.runtime.settings

    @property
    def kind(self) -> str:
        """What it is to SDKs: ``dev`` or ``cloud``."""
        return "dev" if self.options.development else "cloud"


def server_of(request: HTTPConnection) -> Server:
    """Give the server that a request came to."""
    server: Server = request.app.state.server
    return server


def _server(request: Request) -> Server:
    return server_of(request)


Serving = Annotated[Server, Depends(_server)]
