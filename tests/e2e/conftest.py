"""Shops, and apps with limits, on the test's own database, broker and Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import StartWorker
from tests.e2e.limited import Limited
from tests.e2e.shop import Shop

OpenShop = Callable[..., Shop]
OpenLimited = Callable[..., Limited]


@pytest.fixture
def open_shop(database_url: str, broker_url: str, tmp_path: Path, start_worker: StartWorker) -> Iterator[OpenShop]:
    """Opens a shop; keywords are settings of its workers."""
    opened: list[Shop] = []

    def open_one(**settings: object) -> Shop:
        shop = Shop(database_url, broker_url, tmp_path, start_worker, **settings)
        opened.append(shop)
        return shop

    yield open_one
    for shop in opened:
        shop.close()


@pytest.fixture
def open_limited(
    database_url: str, broker_url: str, redis_url: str, tmp_path: Path, start_worker: StartWorker
) -> Iterator[OpenLimited]:
    """Opens the limited app; keywords are settings of its workers, but ``limits_in``, a Redis other than the test's."""
    opened: list[Limited] = []

    def open_one(*, limits_in: str = redis_url, **settings: object) -> Limited:
        limited = Limited(database_url, broker_url, limits_in, tmp_path, start_worker, **settings)
        opened.append(limited)
        return limited

    yield open_one
    for each in opened:
        each.close()
