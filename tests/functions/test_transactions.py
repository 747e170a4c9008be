"""Transactional steps: what the body writes is there exactly if its outcome is recorded."""

from __future__ import annotations

import asyncio
import functools
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.orm import Session

import inngest_celery as inngest
from inngest_celery.experimental import mocked
from inngest_celery.store import schema
from inngest_celery.store.rows import RunStatus
from inngest_celery.testing import TravellingClock
from inngest_celery.worker.runtime import runtime_of
from tests.functions.bench import Bench
from tests.functions.conftest import MakeBench

metadata = sa.MetaData()
booking = sa.Table(
    "shop_booking",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("room", sa.Integer, nullable=False, unique=True),
    mysql_engine="InnoDB",
)


# Whether the run is kept hot makes a difference to what follows a step only.
both_ways = pytest.mark.parametrize("hot", [True, False], ids=["hot", "hop"], indirect=True)


@pytest.fixture
def hot(request: pytest.FixtureRequest) -> bool:
    return bool(getattr(request, "param", True))


@pytest.fixture(autouse=True)
def _tables(database_url: str) -> Iterator[None]:
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    metadata.create_all(engine)
    yield
    metadata.drop_all(engine)


def rooms(bench: Bench) -> list[int]:
    return [row.room for row in bench.rows(booking)]


def book(session: Session, room: int) -> int:
    session.execute(sa.insert(booking).values(room=room))
    return room


@both_ways
def test_rows_and_outcome_commit_together(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> list[object]:
        first = await ctx.step.transaction("book", book, 1)
        plain = await ctx.step.run("plain", asyncio.sleep, 0, "slept")
        second = await ctx.step.transaction("book", book, 2)
        await ctx.step.sleep("a while", 1000)
        return [first, plain, second, await ctx.step.transaction("after", book, 3)]

    run = bench.run()
    assert bench.output(run) == [1, "slept", 2, 3]
    assert rooms(bench) == [1, 2, 3]
    assert [(step.name, step.seq) for step in bench.steps(run)] == [
        ("book", 1), ("plain", 2), ("book", 3), ("a while", 4), ("after", 5)
    ]  # fmt: skip


@both_ways
def test_in_a_plain_function_and_in_parallel_branches(bench: Bench) -> None:
    @bench.function()
    def fn(ctx: inngest.ContextSync) -> object:
        branches = [functools.partial(ctx.step.transaction, f"book {room}", book, room) for room in (1, 2, 3)]
        found = ctx.group.parallel(tuple(branches))
        return [*found, ctx.step.transaction("last", book, 4)]

    assert bench.output() == [1, 2, 3, 4]
    assert sorted(rooms(bench)) == [1, 2, 3, 4]


@both_ways
def test_a_body_that_raises_leaves_nothing_and_is_tried_again(bench: Bench) -> None:
    @bench.function(retries=1)
    def fn(ctx: inngest.ContextSync) -> object:
        def body(session: Session) -> int:
            book(session, 7)
            if ctx.attempt == 0:
                raise ConnectionError("the till does not answer")
            return len(session.execute(sa.select(booking)).all())

        return ctx.step.transaction("book", body)

    run = bench.run()
    assert rooms(bench) == []
    assert bench.output(run) == 1
    assert rooms(bench) == [7]
    assert [json.loads(attempt.error)["name"] for attempt in bench.attempts(run)] == ["ConnectionError"]


def test_an_error_for_good_is_the_functions_to_catch(bench: Bench) -> None:
    @bench.function()
    def fn(ctx: inngest.ContextSync) -> object:
        ctx.step.transaction("book", book, 1)
        try:
            ctx.step.transaction("twice", book, 1)
        except inngest.StepError as error:
            return [error.name, ctx.step.transaction("other", book, 2)]
        return None

    run = bench.run()
    assert bench.output(run) == ["IntegrityError", 2]
    assert rooms(bench) == [1, 2]


def test_a_cancelled_run_keeps_nothing_of_the_body(bench: Bench) -> None:
    @bench.function()
    def fn(ctx: inngest.ContextSync) -> object:
        def body(session: Session) -> None:
            if bench.database.dialect == "sqlite":
                # Nobody else can write: the run is ended from inside, as it would have been by another before.
                session.execute(sa.update(schema.run).values(status=RunStatus.CANCELLED.value, ended_at=1))
                session.execute(sa.delete(schema.job))
            else:
                bench.inline.runs.cancel(ctx.run_id)
            book(session, 1)

        return ctx.step.transaction("book", body)

    if bench.database.dialect == "sqlite":
        run = bench.run()
        # Rolled back with the rest: only the refusal is to be seen here.
        assert rooms(bench) == []
        bench.inline.runs.cancel(run.id)
        return
    run = bench.run()
    assert bench.get(run).status is RunStatus.CANCELLED
    assert rooms(bench) == []
    assert bench.steps(run) == []


MISUSES: dict[str, Any] = {
    "commit": lambda session: session.commit(),
    "rollback": lambda session: session.rollback(),
    "close": lambda session: session.close(),
    "begin": lambda session: session.begin(),
    "connection": lambda session: session.connection().commit(),
    "statement": lambda session: session.execute(sa.text(" /* now */ COMMIT")),
    "driver": lambda session: session.connection().connection.commit(),
}


@pytest.mark.databases("sqlite", "mariadb")
@pytest.mark.parametrize("way", MISUSES)
def test_the_body_cannot_end_the_transaction(way: str, bench: Bench) -> None:
    @bench.function()
    def fn(ctx: inngest.ContextSync) -> object:
        def body(session: Session) -> None:
            book(session, 1)
            MISUSES[way](session)

        return ctx.step.transaction("book", body)

    error = bench.error()
    assert error["name"] == "TransactionMisusedError"
    assert "begin_nested" in error["message"]
    # What the driver was told to commit, nobody can take back.
    assert rooms(bench) == ([1] if way == "driver" else [])


@pytest.mark.databases("mariadb")
def test_a_statement_that_mysql_commits_before_is_refused(bench: Bench) -> None:
    @bench.function()
    def fn(ctx: inngest.ContextSync) -> object:
        def body(session: Session) -> None:
            book(session, 1)
            session.execute(sa.text("create temporary table shop_scratch (id int)"))
            session.execute(sa.text("create table shop_other (id int)"))

        return ctx.step.transaction("book", body)

    assert bench.error()["name"] == "TransactionMisusedError"
    assert rooms(bench) == []


def test_savepoints_work(bench: Bench) -> None:
    @bench.function()
    def fn(ctx: inngest.ContextSync) -> object:
        def body(session: Session) -> str:
            book(session, 1)
            with session.begin_nested():
                book(session, 2)
            try:
                with session.begin_nested():
                    book(session, 1)
            except exc.IntegrityError:
                return "taken"
            return "free"

        return ctx.step.transaction("book", body)

    assert bench.output() == "taken"
    assert rooms(bench) == [1, 2]


def test_events_join(bench: Bench) -> None:
    @bench.function()
    def fn(ctx: inngest.ContextSync) -> object:
        def body(session: Session, room: int) -> list[str]:
            sent = bench.client.send_sync(inngest.Event(name="test/booked", data={"room": room}), session=session)
            book(session, room)
            return sent

        ctx.step.transaction("book", body, 1)
        try:
            ctx.step.transaction("again", body, 1)
        except inngest.StepError:
            return "taken"
        return None

    heard: list[object] = []

    @bench.function("listener", trigger=inngest.TriggerEvent(event="test/booked"))
    def listener(ctx: inngest.ContextSync) -> None:
        heard.append(ctx.event.data["room"])

    assert bench.output() == "taken"
    assert heard == [1]
    assert len(bench.events("test/booked")) == 1


@pytest.mark.databases("sqlite")
def test_an_event_that_would_wait_for_its_own_step_is_refused(bench: Bench) -> None:
    @bench.function(retries=0)
    def fn(ctx: inngest.ContextSync) -> object:
        def body(session: Session) -> object:
            return bench.client.send_sync(inngest.Event(name="test/booked"))

        return ctx.step.transaction("book", body)

    assert "session=session" in bench.error()["message"]


def test_after_a_deadlock_the_body_runs_again(bench: Bench) -> None:
    driver = bench.database.engine.dialect.loaded_dbapi.OperationalError
    if bench.database.dialect == "postgresql":
        from psycopg.errors import DeadlockDetected as driver

    @bench.function(retries=0)
    def fn(ctx: inngest.ContextSync) -> object:
        def body(session: Session) -> int:
            book(session, 1)
            bench.calls["body"] += 1
            if bench.calls["body"] < 4:
                error = driver(1213, "deadlock")
                if bench.database.dialect == "sqlite":
                    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
                raise exc.OperationalError("update", {}, error)
            return bench.calls["body"]

        return ctx.step.transaction("book", body)

    run = bench.run()
    assert bench.output(run) == 4
    assert rooms(bench) == [1]
    assert bench.attempts(run) == []


@pytest.mark.databases("sqlite")
def test_async_bodies_are_refused_at_the_call(bench: Bench) -> None:
    async def body(session: Session) -> None: ...

    @bench.function()
    async def fn(ctx: inngest.Context) -> object:
        return await ctx.step.transaction("book", functools.partial(body))

    error = bench.error()
    assert error["code"] == "step_invalid"
    assert "plain def" in error["message"]


@pytest.mark.databases("postgres")
def test_the_event_loop_stays_free(bench: Bench) -> None:
    """A coroutine that user code has left on the loop goes on while a body takes its time."""
    ticks: list[float] = []
    ticked = threading.Event()

    @bench.function()
    async def fn(ctx: inngest.Context) -> object:
        async def tick() -> None:
            await asyncio.sleep(0.1)
            ticks.append(time.monotonic())
            ticked.set()

        await ctx.step.run("start", start, tick)
        return await ctx.step.transaction("wait", lambda session: ticked.wait(10))

    async def start(tick: Any) -> None:
        kept.append(asyncio.create_task(tick()))

    kept: list[object] = []
    assert bench.output() is True


@pytest.mark.databases("postgres")
def test_an_output_that_is_too_large_takes_the_rows_along(bench: Bench) -> None:
    @bench.function()
    def fn(ctx: inngest.ContextSync) -> object:
        def body(session: Session) -> str:
            book(session, 1)
            return "x" * (5 * 1024 * 1024)

        return ctx.step.transaction("book", body)

    assert bench.error()["code"] == "output_too_large"
    assert rooms(bench) == []


def test_a_body_longer_than_the_lease(make_bench: MakeBench) -> None:
    """Neither another worker nor the server's limit on idle transactions, which is a lease long, interferes."""
    bench = make_bench(inngest_lease=1)

    @bench.function()
    def fn(ctx: inngest.ContextSync) -> object:
        def body(session: Session) -> int:
            book(session, 1)
            time.sleep(2)
            return len(session.execute(sa.select(booking)).all())

        return ctx.step.transaction("book", body)

    # Leases run out by this clock while the body sleeps by the other.
    bench.inline.clock = runtime_of(bench.app).__dict__["clock"] = TravellingClock()
    run = bench.run()
    assert bench.get(run).output == 1
    assert rooms(bench) == [1]


@pytest.mark.databases("sqlite")
def test_in_memory_with_a_session_of_the_tests_own(database_url: str) -> None:
    client = mocked.Inngest(app_id="shop")

    @client.create_function(fn_id="fn", trigger=inngest.TriggerEvent(event="test/go"))
    def fn(ctx: inngest.ContextSync) -> object:
        def body(session: Session) -> int:
            book(session, 1)
            if ctx.attempt == 0:
                raise ConnectionError
            return 1

        return ctx.step.transaction("book", body)

    event = inngest.Event(name="test/go")
    with Session(sa.create_engine(database_url, poolclass=sa.NullPool)) as session:
        assert mocked.trigger(fn, event, client, session=session).output == 1
        assert session.execute(sa.select(booking.c.room)).scalars().all() == [1]
    assert mocked.trigger(fn, event, client, step_stubs={"book": 2}).output == 2
    with pytest.raises(mocked.UnstubbedStepError, match="session=session"):
        mocked.trigger(fn, event, client)
