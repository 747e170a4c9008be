"""The FastAPI shop: its routes by FastAPI's test client, without a worker and with one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.ext.asyncio import AsyncSession

from examples.fastapi_shop.jobs import app
from examples.fastapi_shop.web import web
from inngest_celery.testing import Inline
from tests.examples.demos import play


@pytest.fixture
def inline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Inline]:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    monkeypatch.setenv("INNGEST_DATABASE_URL", url)
    inline = Inline(app, database_url=url)
    yield inline
    inline.close()


@pytest.fixture
def browser(inline: Inline) -> Iterator[TestClient]:
    with TestClient(web) as browser:
        yield browser


def test_an_order_is_packed_and_collected(inline: Inline, browser: TestClient) -> None:
    assert browser.post("/orders", json={"article": "a bell"}).json() == {"order": 1}
    assert browser.get("/orders/1").json()["status"] is None
    inline.drain()
    told = browser.get("/orders/1").json()
    assert told["status"] == "running"
    assert "shop/parcel.collected" in told["why"][0]
    browser.post("/orders/1/collected")
    inline.drain()
    assert browser.get("/orders/1").json()["output"] == "parcel-1 is on its way"


def test_a_parcel_that_nobody_collects_is_told_of_after_a_week(inline: Inline, browser: TestClient) -> None:
    browser.post("/orders", json={"article": "a bell"})
    inline.advance(timedelta(days=8))
    assert browser.get("/orders/1").json()["output"] == "parcel-1 lies about"


def test_an_order_that_is_not_stored_starts_nothing(
    inline: Inline, browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: AsyncSession) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(AsyncSession, "commit", fail)
    with pytest.raises(ZeroDivisionError):
        browser.post("/orders", json={"article": "a bell"})
    inline.drain()
    assert inline.runs.list() == []
    assert browser.get("/orders/1").status_code == 404


@pytest.mark.timeout(180)
def test_with_a_worker() -> None:
    assert "'output': 'parcel-1 is on its way'" in play("examples.fastapi_shop")
