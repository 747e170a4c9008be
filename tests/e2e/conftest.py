"""Shops on the test's own database and broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import StartWorker
from tests.e2e.shop import Shop

OpenShop = Callable[..., Shop]


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
