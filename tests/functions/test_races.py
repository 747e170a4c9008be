"""Two at once. Each race is made certain by a row lock that both have to wait for; see ``locks``."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

import inngest_celery as inngest
from inngest_celery.engine.keys import event_key
from inngest_celery.store import schema, waits
from inngest_celery.store.conflicts import retried
from inngest_celery.store.rows import Event, Run, RunStatus, values
from inngest_celery.worker.runs import RunEndedError
from tests.functions.bench import Bench
from tests.functions.conftest import MakeBench
from tests.functions.locks import Race, race

pytestmark = pytest.mark.databases("postgres", "mariadb")
HOUR = timedelta(hours=1)
SOON = 10.0


@pytest.fixture
def bench(make_bench: MakeBench) -> Bench:
    # Nobody may lose a lease to a slow machine here.
    return make_bench(inngest_lease=60)


@pytest.fixture
def racing(bench: Bench) -> Iterator[Race]:
    with race(bench) as opened:
        yield opened


def send(bench: Bench, name: str, **options: Any) -> str:
    """Send an event and do nothing about it yet; give its id."""
    bench.inline  # noqa: B018  makes the tables and registers the functions
    [event_id] = bench.client.send_sync(inngest.Event(name=name, **options))
    return event_id


def row(table: sa.Table, **key: str) -> sa.Executable:
    """Lock one row."""
    query = sa.select(table).with_for_update()
    for column, value in key.items():
        query = query.where(table.c[column] == value)
    return query


def test_two_workers_want_one_job(bench: Bench, racing: Race) -> None:
    bench.function()(_nothing)
    event_id = send(bench, "test/go")
    with racing.holding(row(schema.job, subject_id=event_id)):
        claims = [racing.start(bench.claim, event_id, "route", owner) for owner in ("one", "two")]
        racing.wait_for_waiters(2)
    won = [claim.result(SOON) for claim in claims]
    assert sorted(claimed is not None for claimed in won) == [False, True]
    bench.perform(next(claimed for claimed in won if claimed))
    bench.inline.drain()
    assert len(bench.rows(schema.run)) == 1


class Waiter:
    """A function that waits for an event; ``just_before`` is called once, when it is about to say so."""

    def __init__(self, bench: Bench) -> None:
        self.just_before = [lambda: None]
        self._bench = bench

        @bench.function()
        def fn(ctx: inngest.ContextSync) -> object:
            if self.just_before:
                self.just_before.pop()()
            found = ctx.step.wait_for_event("wait", event="test/ready", timeout=HOUR)
            ctx.step.run("after", partial(bench.calls.update, ["after"]))
            return found and found.data["number"]

        bench.inline  # noqa: B018
        waits.prepare_topics(bench.database, ["test/ready"])

    def check(self) -> None:
        """Assert that the event has resumed the run, once."""
        self._bench.inline.drain()
        [run] = self._bench.rows(schema.run)
        assert (run.status, run.output) == (RunStatus.COMPLETED, "1")
        assert self._bench.calls["after"] == 1


def test_a_wait_is_registered_just_before_its_event_is_routed(bench: Bench, racing: Race) -> None:
    waiter = Waiter(bench)
    send(bench, "test/go")
    with racing.holding(row(schema.topic, event_name="test/ready")):
        registering = racing.start(bench.inline.drain)
        racing.wait_for_waiters(1)
        routing = racing.start(bench.route, send(bench, "test/ready", data={"number": 1}))
        racing.wait_for_waiters(2)
    registering.result(SOON)
    routing.result(SOON)
    waiter.check()


def test_a_wait_is_registered_just_after_its_event_is_routed(bench: Bench, racing: Race) -> None:
    waiter = Waiter(bench)

    def send_first() -> None:
        routing.append(racing.start(bench.route, send(bench, "test/ready", data={"number": 1})))
        racing.wait_for_waiters(1)

    routing: list[Any] = []
    waiter.just_before = [send_first]
    send(bench, "test/go")
    with racing.holding(row(schema.topic, event_name="test/ready")):
        registering = racing.start(bench.inline.drain)
        racing.wait_for_waiters(2)
    registering.result(SOON)
    routing[0].result(SOON)
    waiter.check()


@pytest.mark.parametrize("first", ["completion", "cancel"])
def test_a_run_is_cancelled_while_it_completes(first: str, bench: Bench, racing: Race) -> None:
    reached, go_on = threading.Event(), threading.Event()

    @bench.function()
    def fn(ctx: inngest.ContextSync) -> str:
        reached.set()
        assert go_on.wait(SOON)
        return "done"

    send(bench, "test/go")
    completing = racing.start(bench.inline.drain)
    assert reached.wait(SOON)
    [run] = bench.rows(schema.run)
    with racing.holding(row(schema.run, id=run.id)):
        if first == "completion":
            go_on.set()
            racing.wait_for_waiters(1)
        cancelling = racing.start(bench.inline.runs.cancel, run.id)
        racing.wait_for_waiters(2 if go_on.is_set() else 1)
        go_on.set()
        racing.wait_for_waiters(2)
    completing.result(SOON)
    ended = {"completion": RunStatus.COMPLETED, "cancel": RunStatus.CANCELLED}[first]
    if first == "completion":
        with pytest.raises(RunEndedError):
            cancelling.result(SOON)
    else:
        cancelling.result(SOON)
    [run] = bench.rows(schema.run)
    assert run.status == ended
    assert len(bench.events("inngest/function.finished")) == 1
    assert len(bench.events("inngest/function.cancelled")) == (first == "cancel")


def test_two_branches_end_at_once(bench: Bench, racing: Race) -> None:
    begun = {name: threading.Event() for name in ("left", "right")}
    go_on = threading.Event()

    def branch(name: str) -> None:
        begun[name].set()
        bench.calls[name] += 1
        assert go_on.wait(SOON)

    @bench.function()
    def fn(ctx: inngest.ContextSync) -> None:
        ctx.group.parallel(tuple(partial(ctx.step.run, name, partial(branch, name)) for name in begun))
        ctx.step.run("join", partial(bench.calls.update, ["join"]))

    send(bench, "test/go")
    parts = [racing.start(bench.inline.drain)]
    assert begun["left"].wait(SOON)
    parts.append(racing.start(bench.inline.drain))
    assert begun["right"].wait(SOON)
    [run] = bench.rows(schema.run)
    with racing.holding(row(schema.run, id=run.id)):
        go_on.set()
        racing.wait_for_waiters(2)
    for part in parts:
        part.result(SOON)
    bench.inline.drain()
    assert bench.calls == {"left": 1, "right": 1, "join": 1}
    [run] = bench.rows(schema.run)
    assert run.status == RunStatus.COMPLETED
    assert len(bench.rows(schema.step)) == 3


def test_two_routers_meet_at_one_idempotency_key(bench: Bench, racing: Race) -> None:
    bench.function()(_nothing)
    event_ids = [send(bench, "test/go", id="order-1") for _ in range(2)]
    key = event_key("app-fn", Event(event_ids[0], "test/go", "order-1", "{}", 0, 0))
    other = Run("0" * 26, "app-fn", event_ids[0], key, RunStatus.SCHEDULED.value, bench.now)
    with racing.holding(sa.insert(schema.run).values(**values(other))):
        routing = [racing.start(bench.route, event_id) for event_id in event_ids]
        racing.wait_for_waiters(2)
    for part in routing:
        part.result(SOON)
    bench.inline.drain()
    assert len(bench.rows(schema.run)) == 1


def test_a_deadlock_is_tried_again(bench: Bench, racing: Race) -> None:
    lease = schema.lease
    bench.inline  # noqa: B018
    with bench.database.transaction() as connection:
        connection.execute(sa.insert(lease), [{"name": name, "owner": "", "until": 0} for name in ("one", "two")])
    both_hold_one = threading.Barrier(2)
    attempts: list[str] = []

    @retried
    def take(*names: str) -> None:
        attempts.append(names[0])
        with bench.database.transaction() as connection:
            for name in names:
                connection.execute(row(lease, name=name))
                if len(attempts) <= 2 and name == names[0]:
                    both_hold_one.wait(SOON)
            connection.execute(sa.update(lease).values(until=lease.c.until + 1))

    parts = [racing.start(take, "one", "two"), racing.start(take, "two", "one")]
    for part in parts:
        part.result(SOON)
    assert len(attempts) == 3
    assert {found.until for found in bench.rows(lease)} == {2}


def _nothing(ctx: inngest.ContextSync) -> None:
    return None
