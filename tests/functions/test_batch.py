"""Batches: events are collected, and one run gets them all."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

import inngest_celery as inngest
from inngest_celery.store import schema
from inngest_celery.store.rows import JobKind, RunStatus
from tests.functions import collecting
from tests.functions.bench import Bench
from tests.functions.collecting import sent
from tests.functions.locks import Race

pending = partial(collecting.pending, kind=JobKind.BATCH)
due = partial(collecting.due, kind=JobKind.BATCH)
the_job = partial(collecting.lock, kind=JobKind.BATCH)
only_sqlite = pytest.mark.databases("sqlite")
SOON = 10.0
LEASE_MS = 30_000
MIB = 1024 * 1024


def batched(bench: Bench, max_size: int = 3, *, options: dict[str, Any] | None = None, **batch: Any) -> None:
    """Define a function that collects events for a minute; it gives their numbers."""

    @bench.function(batch_events=inngest.Batch(max_size=max_size, timeout=60_000, **batch), **(options or {}))
    async def fn(ctx: inngest.Context) -> object:
        assert ctx.event == ctx.events[0]
        numbers = [event.data.get("number") for event in ctx.events]
        return await ctx.step.run("list", lambda: numbers)


def outputs(bench: Bench) -> list[Any]:
    return [run.output for run in reversed(bench.inline.runs.list(function_id="app-fn"))]


def send(bench: Bench, *numbers: int, **data: Any) -> list[str]:
    """Send events and route them."""
    bench.inline  # noqa: B018
    events = [inngest.Event(name="test/go", data={"number": number, **data}) for number in numbers]
    event_ids = bench.client.send_sync(events)
    bench.inline.drain()
    return event_ids


def test_a_full_batch_starts_at_once_and_the_next_event_opens_a_new_one(bench: Bench) -> None:
    batched(bench)
    send(bench, 1, 2, 3, 4)
    assert outputs(bench) == [[1, 2, 3]]
    send(bench, 5)
    assert outputs(bench) == [[1, 2, 3]]
    bench.advance(minutes=1)
    assert outputs(bench) == [[1, 2, 3], [4, 5]]
    assert not pending(bench)


def test_events_sent_one_by_one_fill_it_too(bench: Bench) -> None:
    batched(bench)
    for number in range(3):
        bench.advance(seconds=19)
        send(bench, number)
    assert outputs(bench) == [[0, 1, 2]]


def test_the_timeout_counts_from_the_first_event(bench: Bench) -> None:
    batched(bench)
    send(bench, 1)
    bench.advance(seconds=50)
    send(bench, 2)
    assert outputs(bench) == []
    bench.advance(seconds=10)
    assert outputs(bench) == [[1, 2]]


def test_each_key_has_its_own(bench: Bench) -> None:
    batched(bench, max_size=2, key="event.data.user")
    for number, user in enumerate(["a", "b", "c", "b", "a"]):
        send(bench, number, user=user)
    assert sorted(outputs(bench)) == [[0, 4], [1, 3]]
    bench.advance(minutes=1)
    assert sorted(outputs(bench)) == [[0, 4], [1, 3], [2]]


@pytest.mark.parametrize("condition", ["event.data.wait == true", "int(event.data.wait) > 0"])
def test_an_event_that_does_not_meet_the_condition_runs_by_itself(bench: Bench, condition: str) -> None:
    batched(bench, if_exp=condition)
    send(bench, 1, wait="no")
    [run] = bench.inline.runs.list()
    assert run.output == [1]
    [row] = bench.rows(schema.run)
    assert row.batch is None


def test_every_event_of_it_leads_to_the_run(bench: Bench) -> None:
    batched(bench)
    event_ids = send(bench, 1, 2, 3)
    [run] = bench.inline.runs.list()
    assert [bench.inline.runs.of_event(event_id) for event_id in event_ids] == [[run]] * 3
    [row] = bench.rows(schema.run)
    assert (row.batch, row.event_id) == (3, event_ids[0])


@only_sqlite
def test_whoever_waits_for_the_run_of_an_event_waits_for_the_batch(bench: Bench) -> None:
    batched(bench)
    [event_id] = send(bench, 1)
    with pytest.raises(TimeoutError, match="not started yet"):
        bench.inline.runs.wait(event_id, timeout=0)


def test_lifecycle_events_carry_all_events(bench: Bench) -> None:
    batched(bench)
    send(bench, 1, 2, 3)
    [finished] = bench.events("inngest/function.finished")
    data = json.loads(finished.data)
    assert data["event"]["data"] == {"number": 1}
    assert [event["data"]["number"] for event in data["events"]] == [1, 2, 3]


@only_sqlite
def test_a_failed_or_cancelled_batch_tells_of_all_events(bench: Bench) -> None:
    @bench.function(batch_events=inngest.Batch(max_size=2, timeout=60_000), retries=0)
    async def fn(ctx: inngest.Context) -> None:
        if ctx.event.data["number"] == 1:
            raise ValueError
        await ctx.step.sleep("nap", 3_600_000)

    send(bench, 1, 2, 3, 4)
    [sleeping] = bench.inline.runs.list(status=RunStatus.RUNNING)
    bench.inline.runs.cancel(sleeping.id)
    for name, numbers in (("failed", [1, 2]), ("cancelled", [3, 4])):
        [row] = bench.events(f"inngest/function.{name}")
        assert [event["data"]["number"] for event in json.loads(row.data)["events"]] == numbers


def test_a_replay_sees_all_events(bench: Bench) -> None:
    @bench.function(batch_events=inngest.Batch(max_size=2, timeout=60_000))
    async def fn(ctx: inngest.Context) -> object:
        await ctx.step.sleep("nap", 3_600_000)
        found = await ctx.step.wait_for_event("wait", event="test/ready", timeout=86_400_000)
        return [found and found.data, len(ctx.events)]

    send(bench, 1, 2)
    bench.advance(hours=1)
    bench.send("test/ready")
    assert outputs(bench) == [[{}, 2]]


def test_the_same_event_twice_is_in_it_once(bench: Bench) -> None:
    batched(bench)
    for number in (1, 2):
        bench.inline.send(inngest.Event(name="test/go", id="same", data={"number": number}))
    send(bench, 3)
    assert outputs(bench) == []
    send(bench, 4)
    assert outputs(bench) == [[1, 3, 4]]


@pytest.mark.databases("sqlite", "postgres", "mariadb")
def test_more_than_10_mib_start_it_before_it_is_full(bench: Bench) -> None:
    if not bench.hot:
        pytest.skip("one way tells enough")
    batched(bench, max_size=100)
    for number in range(5):
        send(bench, number, text="x" * (5 * MIB // 2))
    assert outputs(bench) == [[0, 1, 2, 3]]
    [finished] = bench.events("inngest/function.finished")
    told = json.loads(finished.data)["events"]
    assert [sorted(event) for event in told] == [["id", "name", "ts", "user"]] * 4, (
        "what is too much for one row is left out"
    )
    bench.advance(minutes=1)
    assert outputs(bench) == [[0, 1, 2, 3], [4]]


@only_sqlite
def test_calls_and_ticks_do_not_go_into_batches(bench: Bench) -> None:
    batched(bench, options={"trigger": [inngest.TriggerEvent(event="test/go"), inngest.TriggerCron(cron="0 * * * *")]})

    @bench.function("caller", trigger=inngest.TriggerEvent(event="test/call"))
    async def caller(ctx: inngest.Context) -> object:
        return await ctx.step.invoke_by_id("call", function_id="fn", data={"number": 7})

    assert bench.run("test/call").output == [7]
    bench.advance(hours=1)
    assert outputs(bench) == [[7], [None]]


@only_sqlite
def test_it_is_not_cancelled_for_a_late_start_but_for_a_late_end(bench: Bench) -> None:
    timeouts = inngest.Timeouts(start=1000, finish=3_600_000)

    @bench.function(batch_events=inngest.Batch(max_size=2, timeout=60_000), timeouts=timeouts)
    async def fn(ctx: inngest.Context) -> None:
        await ctx.step.sleep("nap", 86_400_000)

    send(bench, 1, 2)
    [deadline] = bench.rows(schema.job, kind=JobKind.DEADLINE.value)
    assert deadline.key == "deadline:finish"
    bench.advance(hours=1)
    assert bench.inline.runs.list()[0].reason == "not finished in time"


@only_sqlite
def test_a_function_that_is_archived_meanwhile_starts_nothing(bench: Bench) -> None:
    batched(bench)
    send(bench, 1)
    with bench.database.transaction() as connection:
        connection.execute(sa.update(schema.function).values(archived_at=1))
    bench.advance(minutes=1)
    assert outputs(bench) == []
    assert not pending(bench)
    assert not bench.rows(schema.run_event)


@only_sqlite
def test_a_function_that_no_longer_batches_starts_what_was_collected(bench: Bench) -> None:
    batched(bench)
    send(bench, 1, 2)
    with bench.database.transaction() as connection:
        config = json.loads(connection.execute(sa.select(schema.function.c.config)).scalar_one())
        config["batchEvents"] = None
        connection.execute(sa.update(schema.function).values(config=json.dumps(config)))
    send(bench, 3)
    assert outputs(bench) == [[3]]
    bench.advance(minutes=1)
    assert sorted(outputs(bench)) == [[1, 2], [3]]


# Races


@pytest.mark.databases("postgres", "mariadb")
def test_two_events_want_the_last_place(patient: Bench, racing: Race) -> None:
    batched(patient, max_size=2)
    patient.route(sent(patient, 1))
    event_ids = [sent(patient, number) for number in (2, 3)]
    with racing.holding(the_job(patient)):
        routing = [racing.start(patient.route, event_id) for event_id in event_ids]
        racing.wait_for_waiters(2)
    for part in routing:
        part.result(SOON)
    patient.inline.drain()
    patient.advance(minutes=1)
    found = sorted(outputs(patient), key=len)
    assert [len(numbers) for numbers in found] == [1, 2]
    assert sorted(found[0] + found[1]) == [1, 2, 3], "each event is in one run"


@pytest.mark.databases("postgres", "mariadb")
@pytest.mark.parametrize("first", ["event", "timeout"])
def test_an_event_comes_when_the_time_is_up(patient: Bench, racing: Race, first: str) -> None:
    batched(patient, max_size=2)
    patient.route(sent(patient, 1))
    claimed = due(patient)
    event_id = sent(patient, 2)
    parts = {"event": (patient.route, event_id), "timeout": (patient.perform, claimed)}
    order = [first, *(name for name in parts if name != first)]
    started = []
    with racing.holding(the_job(patient)):
        for waiting, name in enumerate(order, start=1):
            started.append(racing.start(*parts[name]))
            racing.wait_for_waiters(waiting)
    for part in started:
        part.result(SOON)
    patient.inline.drain()
    if first == "event":
        assert outputs(patient) == [[1, 2]], "it is full, and goes off once"
    else:
        assert outputs(patient) == [[1]]
        patient.advance(minutes=1)
        assert outputs(patient) == [[1], [2]]


def test_whoever_comes_back_late_starts_nothing(bench: Bench) -> None:
    batched(bench)
    send(bench, 1)
    stale = due(bench)
    bench.inline.clock.advance(LEASE_MS)
    bench.inline.drain()
    bench.perform(stale)
    bench.inline.drain()
    assert outputs(bench) == [[1]]


def test_an_event_that_is_routed_twice_is_in_it_once(bench: Bench) -> None:
    batched(bench)
    event_id = sent(bench, 1)
    stale = bench.claim(event_id, "route", owner="frozen")
    assert stale is not None
    bench.inline.clock.advance(LEASE_MS)
    bench.inline.drain()
    bench.perform(stale)
    send(bench, 2)
    bench.advance(minutes=1)
    assert outputs(bench) == [[1, 2]]
