"""What the routes of one server share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import metadata
from typing import Annotated

from fastapi import Depends, Request
from starlette.requests import HTTPConnection

from inngest_celery.server.options import Options
from inngest_celery.settings import Settings
from inngest_celery.worker.runtime import Runtime

VERSION = metadata.version("inngest-celery")


@dataclass(frozen=True, slots=True)
class Server:
    """A server: what it serves, and how.

    Attributes:
        request: the one that it is asked by now, if it is asked by one.
    """

    runtime: Runtime
    options: Options
    request: HTTPConnection | None = None

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
    return replace(server_of(request), request=request)


Serving = Annotated[Server, Depends(_server)]
