"""Looks for apps: those that were named, those on this machine's usual ports, and changes in those that are known."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

import httpx
from fastapi.concurrency import run_in_threadpool

from inngest_celery.server import syncing
from inngest_celery.server.errors import ApiError
from inngest_celery.server.state import Server
from inngest_celery.store import apps

logger = logging.getLogger(__name__)

_PORTS = (80, 443, *range(3000, 3011), 4321, 5000, 5173, 8000, 8080, 8081, 8787, 8888, *range(8910, 8916))
_PATHS = ("/api/inngest", "/x/inngest", "/.netlify/functions/inngest", "/.redwood/functions/inngest")
_TIMEOUT_S = 2.0
_LOOK_EVERY_S = 5.0


async def look(server: Server) -> None:
    """Synchronise apps until cancelled."""
    options = server.options
    told: dict[str, str] = {}
    await _sync(server, options.sdk_urls, told)
    while True:
        pause = options.poll_interval or _LOOK_EVERY_S
        await asyncio.sleep(pause)
        known = await run_in_threadpool(_known, server)
        missing = set(options.sdk_urls) - {app.url for app in known}
        if options.poll_interval:
            asked = [app.url for app in known if app.url and (options.poll_all or app.error)]
            await _sync(server, {*asked, *missing}, told)
        elif missing:
            await _sync(server, missing, told)
        if options.discovery and not options.sdk_urls and not known:
            await _sync(server, await _found(), told, discovered=True)


def _known(server: Server) -> list[apps.AppRow]:
    with server.runtime.database.autocommit() as connection:
        # One of durable endpoints has no functions to tell of.
        return [app for app in apps.all_of(connection) if app.method != apps.API]


async def _sync(server: Server, urls: Iterable[str], told: dict[str, str], *, discovered: bool = False) -> None:
    """Synchronise apps; what is wrong with one is said once, and again when it is something else."""
    for url in sorted(urls):
        try:
            await run_in_threadpool(syncing.sync, server, url, discovered=discovered)
            told.pop(url, None)
        except ApiError as error:
            if told.get(url) != str(error):
                logger.warning("%s (%s)", error, error.code, extra={"action": "sync_failed", "url": url})
            told[url] = str(error)


async def _found() -> list[str]:
    """Give the addresses on this machine at which an SDK answers."""
    async with httpx.AsyncClient(timeout=_TIMEOUT_S) as client:
        urls = [f"http://localhost:{port}{path}" for port in _PORTS for path in _PATHS]
        answers = await asyncio.gather(*(_is_app(client, url) for url in urls))
    return [url for url, is_app in zip(urls, answers, strict=True) if is_app]


async def _is_app(client: httpx.AsyncClient, url: str) -> bool:
    try:
        response = await client.get(url)
    except httpx.HTTPError:
        return False
    return "x-inngest-sdk" in response.headers
