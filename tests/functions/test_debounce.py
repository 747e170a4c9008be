"""Debounce: one run when events have stopped coming, with the newest of them."""

from __future__ import annotations

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

pending = partial(collecting.pending, kind=JobKind.DEBOUNCE)
due = partial(collecting.due, kind=JobKind.DEBOUNCE)
the_job = partial(collecting.lock, kind=JobKind.DEBOUNCE)
only_sqlite = pytest.mark.databases("sqlite")
SOON = 10.0
LEASE_MS = 30_000


def debounced(bench: Bench, key: str | None = None, timeout: int | None = None, **options: Any) -> None:
    """Define a function that is debounced for a minute."""

    @bench.function(debounce=inngest.Debounce(period=60_000, key=key, timeout=timeout), **options)
    async def fn(ctx: inngest.Context) -> object:
        assert len(ctx.events or []) <= 1
        return ctx.event.data.get("number")


def outputs(bench: Bench) -> list[object]:
    return [run.output for run in reversed(bench.inline.runs.list())]


def test_the_last_of_several_events_runs_when_no_more_come(bench: Bench) -> None:
    debounced(bench)
    for number in range(3):
        assert bench.send(number=number) == []
        bench.advance(seconds=59)
    assert outputs(bench) == []
    bench.advance(seconds=1)
    assert outputs(bench) == [2]
    assert not pending(bench)
    bench.advance(hours=1)
    assert outputs(bench) == [2]


def test_after_a_run_it_begins_anew(bench: Bench) -> None:
    debounced(bench)
    for number in range(2):
        bench.send(number=number)
        bench.advance(minutes=1)
    assert outputs(bench) == [0, 1]


def test_each_key_is_debounced_by_itself(bench: Bench) -> None:
    debounced(bench, key="event.data.user")
    for number, user in enumerate(["a", "b", "a", None]):
        bench.send(number=number, user=user)
    bench.advance(minutes=1)
    assert sorted(outputs(bench), key=str) == [1, 2, 3]


@only_sqlite
def test_an_empty_key_is_no_key(bench: Bench) -> None:
    debounced(bench, key="event.data.user")
    bench.send(number=1, user="")
    [job] = pending(bench)
    assert job.key == "debounce"


def test_no_longer_than_the_timeout(bench: Bench) -> None:
    debounced(bench, timeout=150_000)
    for number in range(6):
        bench.send(number=number)
        bench.advance(seconds=40)
    # Sent at 0, 40, 80 and 120 s; the run is due at 150 s, and the events of 160 and 200 s begin anew.
    assert outputs(bench) == [3]
    bench.advance(seconds=20)
    assert outputs(bench) == [3, 5]


@only_sqlite
def test_a_timeout_that_is_shorter_than_the_period(bench: Bench) -> None:
    debounced(bench, timeout=10_000)
    bench.send(number=1)
    bench.advance(seconds=10)
    assert outputs(bench) == [1]


def test_an_older_event_that_comes_later_is_ignored_and_does_not_extend(bench: Bench) -> None:
    debounced(bench)
    now = bench.now
    bench.inline.send(inngest.Event(name="test/go", ts=now, data={"number": 1}))
    bench.advance(seconds=30)
    [late] = bench.client.send_sync([inngest.Event(name="test/go", ts=now - 1, data={"number": 2})])
    bench.inline.drain()
    bench.advance(seconds=30)
    assert outputs(bench) == [1]
    [run] = bench.inline.runs.list()
    assert bench.inline.runs.of_event(late) == [run], "what became of it can be found"


@only_sqlite
def test_the_run_of_an_event_that_gave_way_can_be_found_and_waited_for(bench: Bench) -> None:
    debounced(bench)
    bench.inline  # noqa: B018
    event_ids = [bench.client.send_sync(inngest.Event(name="test/go", data={"number": n}))[0] for n in range(3)]
    bench.inline.drain()
    with pytest.raises(TimeoutError, match="not started yet"):
        bench.inline.runs.wait(event_ids[0], timeout=0)
    bench.advance(minutes=1)
    [run] = bench.inline.runs.list()
    for event_id in event_ids:
        assert bench.inline.runs.of_event(event_id) == [run]
        assert bench.inline.runs.wait(event_id, timeout=0).output == 2


@only_sqlite
def test_a_function_that_is_archived_meanwhile_starts_nothing(bench: Bench) -> None:
    debounced(bench)
    bench.send()
    with bench.database.transaction() as connection:
        connection.execute(sa.update(schema.function).values(archived_at=1))
    bench.advance(minutes=1)
    assert outputs(bench) == []
    assert not pending(bench)
    assert not bench.rows(schema.run_event)


def caller(bench: Bench) -> None:
    @bench.function("caller", trigger=inngest.TriggerEvent(event="test/call"))
    async def fn(ctx: inngest.Context) -> Any:
        try:
            return await ctx.step.invoke_by_id("call", function_id="fn", data=dict(ctx.event.data))
        except inngest.StepError as error:
            return [error.name, error.message]


def test_a_step_whose_call_gives_way_gets_an_error(bench: Bench) -> None:
    debounced(bench)
    caller(bench)
    first = bench.run("test/call", number=1)
    bench.advance(seconds=1)
    second = bench.run("test/call", number=2)
    assert bench.get(first).output == ["RunSkippedError", "a newer call has taken the place of this"]
    [skipped] = bench.inline.runs.list(status=RunStatus.SKIPPED)
    assert (skipped.reason or "").startswith("Debounced: event ")
    bench.advance(minutes=1)
    assert bench.get(second).output == 2


@only_sqlite
def test_a_call_by_celery_code_keeps_its_id(bench: Bench) -> None:
    debounced(bench)
    bench.send(number=1)
    result = bench.client.functions["app-fn"].delay(number=2)
    bench.inline.drain()
    bench.advance(minutes=1)
    [run] = bench.inline.runs.list()
    assert (run.id, run.output) == (result.id, 2)
    [of_first] = bench.rows(schema.run_event)
    assert of_first.run_id == run.id


@only_sqlite
def test_calls_by_celery_code_of_which_the_last_wins(bench: Bench) -> None:
    debounced(bench)
    bench.inline  # noqa: B018
    first = bench.client.functions["app-fn"].delay(number=1)
    bench.inline.drain()
    bench.advance(seconds=1)
    second = bench.client.functions["app-fn"].delay(number=2)
    bench.inline.drain()
    skipped = bench.inline.runs.get(first.id)
    assert (skipped.status, skipped.output) == (
        RunStatus.SKIPPED,
        {
            "name": "RunSkippedError",
            "message": "a newer call has taken the place of this",
            "stack": None,
            "code": "debounced",
        },
    )
    bench.advance(minutes=1)
    assert bench.inline.runs.get(second.id).output == 2


@only_sqlite
def test_the_same_call_delivered_twice_is_one(bench: Bench) -> None:
    debounced(bench)
    bench.inline  # noqa: B018
    for _ in range(2):
        bench.client.functions["app-fn"].apply_async(kwargs={"number": 1}, task_id="same")
        bench.inline.drain()
    bench.advance(minutes=1)
    assert [run.status for run in bench.inline.runs.list()] == [RunStatus.COMPLETED]


# Races


@pytest.mark.databases("postgres", "mariadb")
def test_two_first_events_at_once(patient: Bench, racing: Race) -> None:
    debounced(patient)
    # The row that both want to make is made, held and undone by a third.
    probe = sent(patient, 0)
    patient.route(probe)
    [row] = pending(patient)
    with patient.database.transaction() as connection:
        connection.execute(sa.delete(schema.job).where(schema.job.c.kind == JobKind.DEBOUNCE.value))
        connection.execute(sa.delete(schema.run_event))
    event_ids = [sent(patient, number) for number in (1, 2)]
    with racing.holding(sa.insert(schema.job).values(**row._mapping)):
        routing = [racing.start(patient.route, event_id) for event_id in event_ids]
        racing.wait_for_waiters(2)
    for part in routing:
        part.result(SOON)
    assert len(pending(patient)) == 1
    patient.advance(minutes=1)
    [run] = patient.inline.runs.list()
    assert {tuple(patient.inline.runs.of_event(event_id)) for event_id in event_ids} == {(run,)}


@pytest.mark.databases("postgres", "mariadb")
def test_an_event_just_before_the_job_goes_off_puts_it_off(patient: Bench, racing: Race) -> None:
    debounced(patient)
    patient.route(sent(patient, 1))
    claimed = due(patient)
    with racing.holding(the_job(patient)):
        routing = racing.start(patient.route, sent(patient, 2))
        racing.wait_for_waiters(1)
        firing = racing.start(patient.perform, claimed)
        racing.wait_for_waiters(2)
    routing.result(SOON)
    firing.result(SOON)
    assert outputs(patient) == []
    [job] = pending(patient)
    assert job.leased_by is None, "it goes off when it is due, not when the lease has run out"
    patient.advance(minutes=1)
    assert outputs(patient) == [2]


@pytest.mark.databases("postgres", "mariadb")
def test_an_event_just_after_the_job_goes_off_begins_anew(patient: Bench, racing: Race) -> None:
    debounced(patient)
    patient.route(sent(patient, 1))
    claimed = due(patient)
    with racing.holding(the_job(patient)):
        firing = racing.start(patient.perform, claimed)
        racing.wait_for_waiters(1)
        routing = racing.start(patient.route, sent(patient, 2))
        racing.wait_for_waiters(2)
    routing.result(SOON)
    firing.result(SOON)
    patient.inline.drain()
    assert outputs(patient) == [1]
    patient.advance(minutes=1)
    assert outputs(patient) == [1, 2]


def test_an_event_between_claim_and_commit_is_not_lost(bench: Bench) -> None:
    """The same on every database, one after the other."""
    debounced(bench)
    bench.send(number=1)
    claimed = due(bench)
    bench.send(number=2)
    bench.perform(claimed)
    assert outputs(bench) == []
    bench.advance(minutes=1)
    assert outputs(bench) == [2]


def test_a_flood_past_the_timeout_does_not_hold_the_run_up(bench: Bench) -> None:
    debounced(bench, timeout=60_000)
    bench.send(number=1)
    claimed = due(bench)
    bench.route(sent(bench, 2))
    bench.perform(claimed)
    bench.inline.drain()
    assert outputs(bench) == [2], "it goes off all the same, with the newest"


def test_whoever_comes_back_late_starts_nothing(bench: Bench) -> None:
    debounced(bench)
    bench.send(number=1)
    stale = due(bench)
    bench.inline.clock.advance(LEASE_MS)
    bench.inline.drain()
    bench.perform(stale)
    bench.inline.drain()
    assert outputs(bench) == [1]


@only_sqlite
def test_a_flood_sends_no_messages(bench: Bench) -> None:
    """The sweep hints the job when it is due; events only move it."""
    debounced(bench)
    bench.send(number=1)
    [before] = pending(bench)
    bench.advance(seconds=10)
    bench.send(number=2)
    [job] = pending(bench)
    assert job.due_at >= before.due_at + 10_000
    assert (job.sweep_at, job.hints) == (job.due_at, 0)
