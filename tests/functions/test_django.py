"""Events and transactional steps on Django's own connection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
import sqlalchemy as sa
from django.db import connections, transaction
from django.db.models import Model

import inngest_celery as inngest
from inngest_celery.django import atomic_step, send
from inngest_celery.store.database import DatabaseError
from inngest_celery.store.rows import RunStatus
from inngest_celery.worker.runtime import runtime_of
from tests import one_django
from tests.functions.bench import Bench
from tests.relay import Relay

ALIAS = "of_this_test"
ENGINES = {"sqlite": "sqlite3", "postgresql": "postgresql", "mysql": "mysql"}

pymysql.install_as_MySQLdb()
one_django.configure()


@pytest.fixture
def hot() -> bool:
    return True


def connect(database_url: str) -> None:
    """Let Django have the test's database, under an alias."""
    url = sa.make_url(database_url)
    place = {"NAME": url.database, "USER": url.username, "PASSWORD": url.password, "HOST": url.host, "PORT": url.port}
    engine = f"django.db.backends.{ENGINES[url.get_backend_name()]}"
    connections.settings[ALIAS] = connections.configure_settings({"default": {}, ALIAS: {"ENGINE": engine, **place}})[
        ALIAS
    ]


@pytest.fixture
def relay(database_url: str) -> Iterator[Relay | None]:
    relay = None if database_url.startswith("sqlite") else Relay(database_url)
    connect(database_url if relay is None else relay.url)
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    metadata = sa.MetaData()
    sa.Table("shop_payment", metadata, sa.Column("amount", sa.Integer))
    metadata.create_all(engine)
    yield relay
    connections[ALIAS].close()
    del connections[ALIAS]
    del connections.settings[ALIAS]
    if relay is not None:
        relay.close()
    metadata.drop_all(engine)


def execute(statement: str, *values: int) -> list[Any]:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(statement, values)
        return [] if cursor.description is None else list(cursor.fetchall())


def payments() -> list[int]:
    return [amount for (amount,) in execute("SELECT amount FROM shop_payment ORDER BY amount")]


@pytest.mark.databases("postgres", "mariadb")
@pytest.mark.parametrize("forwarded", [True, False])
def test_a_commit_without_an_answer(forwarded: bool, bench: Bench, relay: Relay) -> None:
    @atomic_step(using=ALIAS)
    def pay(amount: int) -> int:
        bench.calls["pay"] += 1
        execute("INSERT INTO shop_payment VALUES (%s)", amount)
        if bench.calls["pay"] == 1:
            relay.cut_at(b"COMMIT", forward=forwarded)
        return bench.calls["pay"]

    @bench.function(retries=0)
    def fn(ctx: inngest.ContextSync) -> object:
        return ctx.step.transaction("pay", pay, 7)

    run = bench.finish()
    assert run.status is RunStatus.COMPLETED
    assert relay.cuts == 1
    assert payments() == [7]
    assert run.output == (1 if forwarded else 2)


def test_a_body_that_fails_and_one_that_commits(bench: Bench, relay: Relay | None) -> None:
    @atomic_step(using=ALIAS)
    def pay(amount: int) -> int:
        execute("INSERT INTO shop_payment VALUES (%s)", amount)
        send(bench.client, inngest.Event(name="shop/paid", data={"amount": amount}), using=ALIAS)
        bench.calls[str(amount)] += 1
        if amount == 2 and bench.calls["2"] == 1:
            raise ConnectionError
        if amount == 3:
            connections[ALIAS].commit()
        return amount

    @bench.function()
    async def fn(ctx: inngest.Context) -> object:
        paid = [await ctx.step.transaction(f"pay {amount}", pay, amount) for amount in (1, 2)]
        try:
            await ctx.step.transaction("pay 3", pay, 3)
        except inngest.StepError as error:
            return [*paid, error.name]
        return paid

    # Django itself refuses to commit inside of atomic.
    assert bench.output() == [1, 2, "TransactionManagementError"]
    assert payments() == [1, 2]
    assert len(bench.events("shop/paid")) == 2


def test_an_event_is_sent_with_the_commit_or_never(bench: Bench, relay: Relay | None) -> None:
    @bench.function(trigger=inngest.TriggerEvent(event="shop/paid"))
    def fn(ctx: inngest.ContextSync) -> object:
        return ctx.event.data["amount"]

    def pay(amount: int, *, fails: bool = False) -> None:
        with transaction.atomic(using=ALIAS):
            execute("INSERT INTO shop_payment VALUES (%s)", amount)
            send(bench.client, inngest.Event(name="shop/paid", data={"amount": amount}), using=ALIAS)
            if fails:
                raise ConnectionError

    bench.inline  # noqa: B018  made before: its functions are registered
    with pytest.raises(ConnectionError):
        pay(1, fails=True)
    pay(2)
    send(bench.client, inngest.Event(name="shop/paid", data={"amount": 3}), using=ALIAS)
    bench.inline.drain()
    assert payments() == [2]
    assert sorted(run.output for run in bench.inline.runs.list()) == [2, 3]


@pytest.mark.databases("sqlite")
def test_another_database_is_refused(bench: Bench, relay: None, tmp_path: Any) -> None:
    connections[ALIAS].settings_dict["NAME"] = str(tmp_path / "other.db")

    @bench.function(retries=0)
    def fn(ctx: inngest.ContextSync) -> object:
        return ctx.step.transaction("pay", atomic_step(lambda: None, using=ALIAS))

    assert "CELERY_INNGEST_DATABASE_URL" in bench.error()["message"]
    with pytest.raises(DatabaseError, match="inngest migrate"):
        send(bench.client, inngest.Event(name="shop/paid"), using=ALIAS)


@pytest.mark.databases("sqlite")
def test_the_admins_models_decrypt(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from inngest_celery.django import fields
    from inngest_celery.store.keyring import new_key

    bench.app.conf.inngest_encryption_keys = [new_key("k")]
    monkeypatch.setattr(fields, "project_app", lambda: bench.app)

    class Event(Model):
        data = fields.PayloadField()

        class Meta:
            app_label, db_table = "of_this_test", "inngest_event"

    field = Event._meta.get_field("data")
    keyring = runtime_of(bench.app).keyring
    assert keyring is not None
    assert field.from_db_value(keyring.seal("{}", "event.data"), None, None) == "{}"
    assert field.from_db_value("[1]", None, None) == "[1]"
    assert field.from_db_value(None, None, None) is None
