"""Shops, and apps with limits, on the test's own database, broker and Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import StartWorker
from tests.e2e.limited import Limited
from tests.e2e.shop import Shop
from tests.own_redis import OwnRedis

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

    def open_one(*, limits_in: str = redis_url, count_statements: bool = False, **settings: object) -> Limited:
        limited = Limited(
            database_url, broker_url, limits_in, tmp_path, start_worker, count_statements=count_statements, **settings
        )
        opened.append(limited)
        return limited

    yield open_one
    for each in opened:
        each.close()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[OwnRedis]:
    """A Valkey that the test may freeze, kill and start anew."""
    server = OwnRedis(tmp_path / "redis")
    yield server
    server.close()
