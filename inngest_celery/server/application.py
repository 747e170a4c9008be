"""Puts the server together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inngest_celery.server import (
    checkpoints,
    connect,
    dashboard,
    discovery,
    documents,
    endpoints,
    errors,
    events,
    graphql,
    info,
    mcp,
    metrics,
    runs,
    syncing,
    v1,
    v2,
    webhooks,
)
from inngest_celery.server import realtime as realtime_api
from inngest_celery.server.access import Senders, pages, refusals
from inngest_celery.server.access.browsers import Browsers
from inngest_celery.server.bounds import Bounds
from inngest_celery.server.connect.gateway import Gateway
from inngest_celery.server.errors import REFUSALS
from inngest_celery.server.options import Options
from inngest_celery.server.sends import Sends
from inngest_celery.server.state import VERSION, Server
from inngest_celery.worker.registry import equip
from inngest_celery.worker.runtime import Runtime

_ROUTERS = (
    *(events.router, syncing.router, info.router, runs.router, checkpoints.router, v1.router),
    *(endpoints.router, endpoints.output_router, graphql.router, webhooks.router, connect.router, realtime_api.router),
    *(metrics.router, pages.router),
)

_ENVIRONMENT = b"x-inngest-env"


def create_app(runtime: Runtime, options: Options) -> FastAPI:
    """Make the ASGI application of a server.

    Args:
        runtime: the Celery app's side: where events are stored, and work is announced.
        options: how it is run.

    Example: ``uvicorn.run(create_app(runtime_of(celery_app), Options()), port=8288)``

    Mirrors https://www.inngest.com/docs/self-hosting
    """
    server = Server(runtime, options)
    realtime = realtime_api.Hub(runtime)
    onlookers = realtime_api.Onlookers(runtime, realtime)
    # The tasks that its jobs are for must be known here, too, if they are done here.
    equip(runtime.app)

    sends = Sends(runtime)
    gateway = Gateway(server, runtime.channel) if runtime.redis_url else None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(discovery.look(server)), asyncio.create_task(onlookers.tell())]
        tasks.append(asyncio.create_task(sends.keep_flushing()))
        if gateway is not None:
            gateway.start()
        async with endpoint.running():
            yield
        if gateway is not None:
            await run_in_threadpool(gateway.end)
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await realtime.close()

    app = FastAPI(title="inngest-celery", version=VERSION, lifespan=lifespan, openapi_url=None)
    app.state.server, app.state.gateway, app.state.realtime = server, gateway, realtime
    app.state.senders = Senders(runtime, options.event_keys)
    app.state.sends = sends
    app.state.live = dashboard.Live(server)
    app.state.metrics = metrics.Metrics(runtime)
    errors.install(app)
    refusals.install(app)
    for router in _ROUTERS:
        app.include_router(router, responses=REFUSALS)
    app.include_router(v2.router, prefix="/v2")
    app.include_router(v2.router, prefix="/api/v2", include_in_schema=False)
    dashboard.install(app, pages=options.dashboard)
    app.include_router(documents.router)
    documents.document(app)
    endpoint = mcp.Endpoint(server, app)
    app.router.routes.append(Route("/mcp", endpoint, methods=["POST"]))
    app.add_middleware(Bounds)
    app.add_middleware(Browsers)
    app.add_middleware(_SaysItsKind, kind=server.kind)
    return app


class _SaysItsKind:
    """Tells with every response what the server is, as SDKs want to know it, and the environment that was named.

    There is one environment, like in the official server: a branch's name is taken, and changes nothing.
    """

    def __init__(self, app: ASGIApp, kind: str) -> None:
        self._app = app
        self._header = (b"x-inngest-server-kind", kind.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        named = [(name, value) for name, value in scope.get("headers", ()) if name == _ENVIRONMENT]

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), self._header, *named[:1]]
            await send(message)

        await self._app(scope, receive, tell)
