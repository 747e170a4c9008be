"""The connection breaks as COMMIT is sent: whether it was carried out is found out, and the run goes on accordingly."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

import inngest_celery as inngest
from inngest_celery.store.rows import RunStatus
from tests.functions.bench import Bench
from tests.relay import Relay

metadata = sa.MetaData()
payment = sa.Table(
    "shop_payment", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("amount", sa.Integer)
)


@pytest.fixture
def relay(database_url: str) -> Iterator[Relay]:
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    metadata.create_all(engine)
    relay = Relay(database_url)
    yield relay
    relay.close()
    metadata.drop_all(engine)


@pytest.fixture
def shop(relay: Relay) -> Iterator[Bench]:
    bench = Bench(relay.url)
    yield bench
    bench.check()
    bench.close()


@pytest.mark.databases("postgres", "mariadb")
@pytest.mark.parametrize("forwarded", [True, False])
def test_a_commit_without_an_answer(
    forwarded: bool, relay: Relay, shop: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    @shop.function(retries=0)
    def fn(ctx: inngest.ContextSync) -> object:
        def pay(session: Session) -> int:
            shop.calls["pay"] += 1
            session.execute(sa.insert(payment).values(amount=7))
            if shop.calls["pay"] == 1:
                relay.cut_at(b"COMMIT", forward=forwarded)
            return shop.calls["pay"]

        return ctx.step.transaction("pay", pay)

    with caplog.at_level(logging.WARNING, "inngest_celery.worker.transactions"):
        run = shop.finish()
    assert run.status is RunStatus.COMPLETED
    assert relay.cuts == 1
    assert [row.amount for row in shop.rows(payment)] == [7]
    # What the outcome says is what was committed: of the first body, or, where that came to nothing, of the second.
    assert run.output == (1 if forwarded else 2)
    fates = [record.__dict__["fate"] for record in caplog.records if "fate" in record.__dict__]
    assert fates == (["COMMITTED"] if forwarded else ["UNDONE"])
