"""Sending inside the transaction of an ``AsyncSession`` or ``AsyncConnection``, on real async drivers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from celery import Celery
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine

import inngest_celery as inngest
from inngest_celery.store import schema
from inngest_celery.testing import Inline
from inngest_celery.worker.runtime import runtime_of

ORDER = inngest.Event(name="shop/order.placed", data={"order": 7, "note": "ü 🎉"})
# The drivers that asyncio applications use, by database.
DRIVERS = {
    "sqlite": ["sqlite+aiosqlite"],
    "postgresql": ["postgresql+asyncpg", "postgresql+psycopg"],
    "mysql": ["mysql+aiomysql"],
}

Transaction = AsyncSession | AsyncConnection
Open = Callable[[AsyncEngine], Any]


class Shop:
    """A product on asyncio, whose app has one function."""

    def __init__(self, database_url: str) -> None:
        self.app = Celery("shop", broker="memory://", set_as_current=False)
        self.client = inngest.Inngest(app_id="shop", celery=self.app)

        @self.client.create_function(fn_id="ship", trigger=inngest.TriggerEvent(event="shop/order.placed"))
        def ship(ctx: inngest.ContextSync) -> object:
            return ctx.event.data

        self.inline = Inline(self.app, database_url=database_url)
        self._url = sa.make_url(database_url)

    @property
    def drivers(self) -> list[str]:
        return DRIVERS[self._url.get_backend_name()]

    @asynccontextmanager
    async def transaction(self, driver: str, open_transaction: Open) -> AsyncIterator[Any]:
        """Open a transaction of the product's own."""
        engine = create_async_engine(self._url.set(drivername=driver))
        try:
            async with open_transaction(engine) as transaction:
                yield transaction
        finally:
            await engine.dispose()

    def stored(self) -> dict[str, int]:
        """How many events and jobs others see."""
        with runtime_of(self.app).database.autocommit() as connection:
            return {
                table.name: int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())
                for table in (schema.event, schema.job)
            }


@pytest.fixture
def shop(database_url: str) -> Any:
    opened = Shop(database_url)
    yield opened
    runtime_of(opened.app).database.dispose()


both_ways = pytest.mark.parametrize(
    "open_transaction", [AsyncSession, AsyncEngine.connect], ids=["session", "connection"]
)


@both_ways
def test_events_are_sent_with_the_transaction(shop: Shop, open_transaction: Open) -> None:
    async def place(driver: str) -> str:
        async with shop.transaction(driver, open_transaction) as transaction:
            before = shop.stored()
            [event_id, _] = await shop.client.send([ORDER, ORDER], session=transaction)
            assert shop.stored() == before, "sent before the transaction has committed"
            await transaction.commit()
        return str(event_id)

    for driver in shop.drivers:
        event_id = asyncio.run(place(driver))
        shop.inline.drain()
        [run] = shop.client.runs.of_event(event_id)
        assert run.output == ORDER.data, driver


@both_ways
def test_events_rolled_back_were_never_sent(shop: Shop, open_transaction: Open) -> None:
    async def place(driver: str) -> int:
        async with shop.transaction(driver, open_transaction) as transaction:
            await shop.client.send(ORDER, session=transaction)
            inside = await transaction.scalar(sa.select(sa.func.count()).select_from(schema.event))
            await transaction.rollback()
        return int(inside)

    for driver in shop.drivers:
        assert asyncio.run(place(driver)) == 1, "it did not join the caller's transaction"
        assert set(shop.stored().values()) == {0}, driver
    assert shop.inline.drain() == 0
