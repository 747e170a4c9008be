"""Sending inside the caller's own transaction, and what a send writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa
from celery import Celery
from sqlalchemy.orm import Session

import inngest_celery as inngest
from inngest_celery.cli.checks.examination import examine
from inngest_celery.store import schema
from inngest_celery.testing import Inline
from inngest_celery.worker.runtime import runtime_of

ORDER = inngest.Event(name="shop/order.placed", data={"order": 7})


class Shop:
    """An app with one function, and the business's own table beside ours."""

    def __init__(self, database_url: str) -> None:
        self.app = Celery("shop", broker="memory://", set_as_current=False)
        self.client = inngest.Inngest(app_id="shop", celery=self.app)

        @self.client.create_function(fn_id="ship", trigger=inngest.TriggerEvent(event="shop/order.placed"))
        def ship(ctx: inngest.ContextSync) -> object:
            return ctx.event.data["order"]

        self.inline = Inline(self.app, database_url=database_url)
        self.engine = sa.create_engine(database_url)
        self.orders = sa.Table("business_order", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True))
        self.orders.create(self.engine)

    def place(self, session: Session | sa.Connection) -> list[str]:
        session.execute(sa.insert(self.orders).values(id=7))
        return self.client.send_sync(ORDER, session=session)

    def count(self, table: sa.Table) -> int:
        with self.engine.connect() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())

    def close(self) -> None:
        self.orders.drop(self.engine)
        self.engine.dispose()
        runtime_of(self.app).database.dispose()


@pytest.fixture
def shop(database_url: str) -> Any:
    opened = Shop(database_url)
    yield opened
    opened.close()


Open = Callable[[sa.Engine], Any]


@pytest.mark.parametrize("open_transaction", [Session, sa.Engine.connect], ids=["session", "connection"])
def test_an_event_is_sent_with_the_transaction(shop: Shop, open_transaction: Open) -> None:
    with open_transaction(shop.engine) as transaction:
        [event_id] = shop.place(transaction)
        transaction.commit()
    shop.inline.drain()
    [run] = shop.client.runs.of_event(event_id)
    assert run.output == 7
    assert shop.count(shop.orders) == 1


@pytest.mark.parametrize("open_transaction", [Session, sa.Engine.connect], ids=["session", "connection"])
def test_an_event_rolled_back_was_never_sent(shop: Shop, open_transaction: Open) -> None:
    with open_transaction(shop.engine) as transaction:
        shop.place(transaction)
        transaction.rollback()
    assert shop.inline.drain() == 0
    assert shop.count(shop.orders) == shop.count(schema.event) == shop.count(schema.job) == 0


@pytest.mark.databases("sqlite")
def test_something_else_than_a_session_is_refused(shop: Shop) -> None:
    with pytest.raises(TypeError, match="SQLAlchemy Session or Connection, not str"):
        shop.client.send_sync(ORDER, session="session")
    assert shop.count(schema.event) == 0


def test_many_events_are_sent_in_one_transaction(shop: Shop) -> None:
    statements: list[str] = []
    engine = runtime_of(shop.app).database.engine
    sa.event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    ids = shop.client.send_sync([ORDER.model_copy(update={"id": f"order-{number}"}) for number in range(100)])
    assert len(set(ids)) == 100
    assert len([text for text in statements if not text.startswith("BEGIN")]) <= 2
    assert shop.count(schema.event) == 100


@pytest.mark.brokers("rabbitmq")
def test_a_send_succeeds_where_the_broker_refuses_the_password(
    database_url: str, broker_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    address = urlsplit(broker_url)
    app = Celery(
        "shop", broker=f"amqp://{address.username}:wrong@{address.hostname}:{address.port}//", set_as_current=False
    )
    app.conf.inngest_database_url = database_url
    client = inngest.Inngest(app_id="shop", celery=app)
    assert len(client.send_sync(ORDER)) == 1
    assert "will be sent by a worker's sweep" in caplog.text
    [found] = [finding for finding in examine(app, 0.1) if finding.code == "broker_unreachable"]
    assert "ACCESS_REFUSED" in found.text
    app.close()


def test_the_same_id_starts_one_run(shop: Shop) -> None:
    first, second = (shop.client.send_sync(ORDER.model_copy(update={"id": "order-7"}))[0] for _ in range(2))
    shop.inline.drain()
    assert [len(shop.client.runs.of_event(event_id)) for event_id in (first, second)] == [1, 0]
