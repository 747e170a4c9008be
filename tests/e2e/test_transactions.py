"""Workers are killed around the commits of transactional steps: the business's rows equal the recorded outcomes."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

import inngest_celery as inngest
from inngest_celery.store import schema
from inngest_celery.store.rows import RunStatus
from tests.conftest import StartWorker
from tests.e2e import till
from tests.e2e.web import Web
from tests.waiting import wait_until

PLACES = ("before_body", "transaction_before_commit", "transaction_after_commit", "after_body", "before_checkpoint")


class Till(Web):
    """Sells, and counts the money."""

    sold = 0

    def sell(self, times: int) -> None:
        self.client.send_sync(
            [inngest.Event(name="till/sold", data={"amount": self.sold + each}) for each in range(1, times + 1)]
        )
        self.sold += times

    def ended(self) -> int:
        ended = sa.select(sa.func.count()).where(schema.run.c.status >= RunStatus.COMPLETED.value)
        return int(self.ask(ended)[0][0])

    def describe(self) -> str:
        lines = [f"{self.sold} sales"]
        for table in (schema.run, schema.job, schema.step):
            lines += [f"{table.name}: {dict(row._mapping)}" for row in self.ask(sa.select(table))[:10]]
        return "\n".join(lines)

    def check(self) -> None:
        """Assert that every sale is paid once, and that each outcome on record tells of its own payment."""
        assert {row.status for row in self.ask(sa.select(schema.run))} == {RunStatus.COMPLETED.value}
        payments = {row.id: row for row in self.ask(sa.select(till.payment))}
        outcomes = self.ask(sa.select(schema.step).where(schema.step.c.op == "StepRun"))
        told = {(row.run_id, row.name): json.loads(row.memo)["data"] for row in outcomes}
        assert told == {(row.run, row.step): row.id for row in payments.values()}
        assert len(told) == len(payments) == 3 * self.sold
        due = sum(3 * amount + 1 for amount in range(1, self.sold + 1))
        assert sum(row.amount for row in payments.values()) == due
        assert self.ask(sa.select(till.balance.c.amount)) == [(due,)]


@pytest.fixture
def shop(database_url: str, broker_url: str, tmp_path: Path, start_worker: StartWorker) -> Iterator[Till]:
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    till.metadata.drop_all(engine)
    till.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(till.balance).values(id=1, amount=0))
    opened = Till("tests.e2e.till_app", database_url, broker_url, tmp_path, start_worker)
    yield opened
    opened.close()


@pytest.mark.pairs
def test_a_crash_around_a_commit(shop: Till) -> None:
    shop.worker(pool="prefork", concurrency=2)
    for place in PLACES:
        shop.order_crash(place)
        shop.sell(1)
        shop.wait_for_crash(place)
    wait_until(lambda: shop.ended() == shop.sold)
    shop.check()


@pytest.mark.pairs
def test_workers_die_at_random(shop: Till) -> None:
    chance = random.Random(20260101)
    shop.sell(12)
    for _ in range(2):
        doomed = shop.worker(pool="prefork", concurrency=2)
        enough = min(shop.ended() + chance.randint(1, 4), shop.sold - 1)
        wait_until(lambda enough=enough: shop.ended() >= enough)  # type: ignore[misc]
        doomed.sigkill()
    shop.worker(pool="prefork", concurrency=2)
    wait_until(lambda: shop.ended() == shop.sold)
    shop.check()
