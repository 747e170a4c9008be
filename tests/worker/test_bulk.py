"""Many runs at once: interrupted anywhere, repeated, by several at a time."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
import sqlalchemy as sa

import inngest_celery as inngest
from inngest_celery import ids
from inngest_celery.engine.expressions import ExpressionError
from inngest_celery.store import functions
from inngest_celery.store.listing import RunFilter
from inngest_celery.store.rows import RunStatus
from inngest_celery.worker import bulk, selecting
from inngest_celery.worker.bulk import Progress
from inngest_celery.worker.control import FunctionNotRegisteredError
from inngest_celery.worker.runtime import Runtime, runtime_of
from inngest_celery.worker.selecting import AppNotRegisteredError, Selection
from tests.functions.bench import Bench

FAILED = Selection(RunFilter(statuses=[RunStatus.FAILED]))
COUNT = 7


@pytest.fixture
def bench(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Seven runs that have failed, of which each knows its number; slices of three."""
    monkeypatch.setattr(selecting, "SLICE", 3)
    bench = Bench(database_url)

    @bench.function("bad", retries=0)
    def bad(ctx: inngest.ContextSync) -> None:
        raise ValueError(f"number {ctx.event.data['n']}")

    for number in range(COUNT):
        bench.run(n=number)
        bench.advance(seconds=1)
    return bench


def runs_of(bench: Bench) -> Counter[str]:
    """How often the event of each run has started one."""
    return Counter(run.event_id for run in bench.inline.runs.list(limit=1000))


def last(steps: object) -> Progress:
    *_, end = steps  # type: ignore[misc]
    assert isinstance(end, Progress)
    return end


def test_a_replay_that_was_interrupted_repeats_each_run_once(bench: Bench) -> None:
    runtime = runtime_of(bench.app)
    replay_id = bulk.new_replay_id(runtime)
    # Whoever drives it dies after the first slice.
    interrupted = bulk.replay(runtime, FAILED, replay_id)
    next(interrupted)
    interrupted.close()
    # What was started has failed again by now: that is not to be repeated.
    bench.inline.drain()
    assert sorted(runs_of(bench).values()) == [1] * (COUNT - 3) + [2] * 3
    bench.advance(seconds=5)
    end = last(bulk.replay(runtime, FAILED, replay_id))
    assert (end.looked_at, end.chosen, end.done, end.before) == (COUNT, COUNT, COUNT - 3, 3)
    bench.inline.drain()
    end = last(bulk.replay(runtime, FAILED, replay_id))
    assert (end.done, end.before) == (0, COUNT)
    assert set(runs_of(bench).values()) == {2}
    # Another replay is another one.
    assert last(bulk.replay(runtime, FAILED, bulk.new_replay_id(runtime))).done == 2 * COUNT


def test_two_at_once_start_each_run_once(bench: Bench) -> None:
    runtime = runtime_of(bench.app)
    replay_id = bulk.new_replay_id(runtime)
    ready = threading.Barrier(3)
    ends: list[Progress] = []

    def work() -> None:
        ready.wait(10)
        ends.append(last(bulk.replay(runtime, FAILED, replay_id)))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [end.done + end.before for end in ends] == [COUNT] * 3
    assert sum(end.done for end in ends) == COUNT
    assert set(runs_of(bench).values()) == {2}


@pytest.mark.databases("sqlite")
def test_what_cannot_be_repeated_is_counted_and_left_out(bench: Bench) -> None:
    runtime = runtime_of(bench.app)
    with bench.database.transaction() as connection:
        functions.archive(connection, "app-bad", bench.now)
    end = last(bulk.replay(runtime, FAILED, bulk.new_replay_id(runtime)))
    assert end.done == 0
    [(reason, times)] = end.refused.items()
    assert ("app-bad" in reason, times) == (True, COUNT)


@pytest.mark.databases("sqlite")
def test_an_expression_is_looked_for_in_the_whole_table(bench: Bench) -> None:
    runtime = runtime_of(bench.app)
    chosen = Selection(FAILED.wanted, where='event.data.n == 1 || error.message == "number 5"')
    end = last(bulk.count(runtime, chosen))
    assert (end.looked_at, end.chosen) == (COUNT, 2)
    assert last(bulk.count(runtime, FAILED)).chosen == COUNT
    assert last(bulk.replay(runtime, chosen, bulk.new_replay_id(runtime))).done == 2
    bad = Selection(where="event.data.n ==")
    for steps in (bulk.count(runtime, bad), bulk.replay(runtime, bad, bulk.new_replay_id(runtime))):
        with pytest.raises(ExpressionError):
            next(steps)


@pytest.mark.databases("sqlite")
def test_a_slice_costs_the_same_wherever_it_is(bench: Bench) -> None:
    runtime = runtime_of(bench.app)
    asked: list[str] = []
    sa.event.listen(
        runtime.database.engine, "before_cursor_execute", lambda _c, _k, statement, *_: asked.append(statement)
    )
    chosen = Selection(FAILED.wanted, where="event.data.n >= 0")
    found = [len(part.runs) for part in selecting.slices(runtime, chosen)]
    assert found == [3, 3, 1]
    # The runs, and what started them.
    assert len(asked) == 2 * len(found)


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("replay_id", ["nothing", ids.first_of(1 << 47)])
def test_what_is_no_replay_is_refused(bench: Bench, replay_id: str) -> None:
    with pytest.raises(bulk.ReplayIdError):
        next(bulk.replay(runtime_of(bench.app), FAILED, replay_id))
    assert set(runs_of(bench).values()) == {1}


def sleepers(database_url: str, count: int) -> tuple[Bench, Runtime]:
    bench = Bench(database_url)

    @bench.function("long")
    def long(ctx: inngest.ContextSync) -> None:
        ctx.step.sleep("night", 60_000)

    for number in range(count):
        bench.run(n=number)
        bench.advance(seconds=1)
    return bench, runtime_of(bench.app)


def test_runs_are_cancelled(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "_AT_ONCE", 2)
    bench, runtime = sleepers(database_url, 5)
    even = Selection(RunFilter(event_names=["test/go"]), where="event.data.n % 2 == 0")
    interrupted = bulk.cancel(runtime, even, "by mistake")
    assert next(interrupted).done == 1
    interrupted.close()
    end = last(bulk.cancel(runtime, even, "by mistake"))
    assert (end.looked_at, end.chosen, end.done) == (4, 2, 2)
    cancelled = bench.inline.runs.list(status=RunStatus.CANCELLED)
    assert [run.reason for run in cancelled] == ["by mistake"] * 3
    assert list(bulk.cancel(runtime, Selection(RunFilter(statuses=[RunStatus.FAILED])), "")) == []
    assert list(bulk.cancel(runtime, Selection(RunFilter(event_names=["test/other"])), "")) == []
    assert len(bench.inline.runs.list(status=RunStatus.RUNNING)) == 2


@pytest.mark.databases("sqlite")
def test_functions_are_those_of_apps(bench: Bench) -> None:
    runtime = runtime_of(bench.app)
    assert selecting.function_ids(runtime) is None
    assert selecting.function_ids(runtime, of_apps=["app"]) == {"app-bad"}
    assert selecting.function_ids(runtime, ["app-bad"], ["app"]) == {"app-bad"}
    with pytest.raises(FunctionNotRegisteredError):
        selecting.function_ids(runtime, ["app-bed"])
    with pytest.raises(AppNotRegisteredError):
        selecting.function_ids(runtime, of_apps=["ap"])
