"""Workers are killed while events are collected and put off: each event is in one run, and each run starts once."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
import sqlalchemy as sa

import inngest_celery as inngest
from inngest_celery.store import schema
from inngest_celery.store.rows import RunStatus
from tests.e2e.conftest import OpenShop
from tests.e2e.shop import Shop
from tests.waiting import wait_until

PLACES = ("route_before_commit", "route_after_commit", "go_off_before_commit", "go_off_after_commit")


@pytest.mark.pairs
def test_a_crash_while_events_are_collected_or_put_off(open_shop: OpenShop) -> None:
    shop = open_shop()
    shop.worker(pool="prefork", concurrency=2)
    shop.worker(pool="prefork", concurrency=1)
    for number, place in enumerate(PLACES):
        shop.order_crash(place)
        parcels = [("order/packed", {"order": number, "parcel": parcel}) for parcel in range(4)]
        views = [("order/viewed", {"order": number, "view": view}) for view in range(3)]
        shop.client.send_sync([inngest.Event(name=name, data=data, ts=_in_order()) for name, data in parcels + views])
        shop.wait_for_crash(place)
    runs = wait_until(lambda: _ended(shop), 40.0, shop.describe, every=0.05)
    outputs = Counter(row.function_id for row in runs)
    assert outputs["orders-digest"] == len(PLACES), "one run for the last view of each order"
    assert {json.loads(row.output) for row in runs if row.function_id == "orders-digest"} == {2}
    shipped = [json.loads(row.output) for row in runs if row.function_id == "orders-ship"]
    assert sorted(parcel for parcels in shipped for parcel in parcels) == sorted([*range(4)] * len(PLACES))
    assert all(len(parcels) <= 3 for parcels in shipped)


_TS = iter(range(1_700_000_000_000, 1_800_000_000_000))


def _in_order() -> int:
    return next(_TS)


def _ended(shop: Shop) -> list[Any]:
    """Give the runs, once there is nothing left to do."""
    if shop.count(schema.job):
        return []
    runs = shop.ask(sa.select(schema.run))
    assert {row.status for row in runs} <= {RunStatus.COMPLETED.value}, shop.describe()
    return runs
