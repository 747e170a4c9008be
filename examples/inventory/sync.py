"""One run for all vendors, which invokes one for each of them, which fetches its pages side by side."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import timedelta
from functools import cache
from typing import Any, TypeAlias

import httpx

import inngest_celery as inngest
from examples.inventory.app import client
from examples.inventory.vendors import PAGES, PORTS

Report: TypeAlias = dict[str, Any]
_TIMEOUT_SECONDS = 10


async def fetch(vendor: str, page: int) -> int:
    """Give how many units a page of a vendor's stock counts.

    Raises:
        RetryAfterError: the vendor is busy, and says until when. It is not asked before that.
        httpx.HTTPError: it went wrong, and is tried again by the table of retries.
    """
    response = await _http().get(f"{_address(vendor)}/stock", params={"page": page})
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        pause = timedelta(seconds=int(response.headers["retry-after"]))
        raise inngest.RetryAfterError(f"{vendor} is busy", pause)
    stock: dict[str, int] = response.raise_for_status().json()
    return sum(stock.values())


@client.create_function(
    fn_id="sync-vendor",
    trigger=inngest.TriggerEvent(event="inventory/vendor.due"),
    # A vendor serves two of our requests at a time, whoever makes them: all runs and all workers together.
    concurrency=[inngest.Concurrency(limit=2, key="event.data.vendor")],
    # And wants to be read from the start once in two seconds, however many ask for it. (Let it be minutes in earnest.)
    throttle=inngest.Throttle(limit=1, period=timedelta(seconds=2), burst=0, key="event.data.vendor"),
    retries=2,
)
async def sync_vendor(ctx: inngest.Context) -> Report:
    """Read all pages of a vendor. What cannot be read is left out, and said."""
    vendor = str(ctx.event.data["vendor"])
    missing: list[int] = []

    async def page(number: int) -> int:
        try:
            return await ctx.step.run(f"page {number}", fetch, vendor, number)
        except inngest.StepError:
            # Three attempts are used up. The other pages are worth having.
            missing.append(number)
            return 0

    # Four steps at once, of which the limit lets two execute.
    units = await asyncio.gather(*(page(number) for number in range(1, PAGES + 1)))
    return {"units": sum(units), "missing pages": sorted(missing)}


@client.create_function(
    fn_id="sync-stock",
    trigger=[
        inngest.TriggerEvent(event="inventory/sync.requested"),
        inngest.TriggerCron(cron="TZ=Europe/Berlin 0 5 * * *"),
    ],
)
async def sync_stock(ctx: inngest.Context) -> Report:
    """Ask all vendors side by side. One that fails altogether costs us its own stock, and no other's."""

    async def ask(vendor: str) -> Report:
        try:
            return await ctx.step.invoke(vendor, function=sync_vendor, data={"vendor": vendor})
        except inngest.StepError as error:
            return {"units": 0, "error": error.message}

    reports = await asyncio.gather(*(ask(vendor) for vendor in PORTS))
    return {
        "units": sum(report["units"] for report in reports),
        "complete": all(not report.get("missing pages", True) for report in reports),
        "vendors": dict(zip(PORTS, reports, strict=True)),
    }


@cache
def _http() -> httpx.AsyncClient:
    """Give the process's client: the worker's event loop lives as long as its process, and so may what uses it."""
    return httpx.AsyncClient(timeout=_TIMEOUT_SECONDS)


def _address(vendor: str) -> str:
    served = os.environ.get("VENDORS")
    addresses: dict[str, str] = json.loads(served) if served else {}
    return addresses.get(vendor, f"http://127.0.0.1:{PORTS[vendor]}")
