"""Retention beside live load: how quick it deletes, and what that costs those who run meanwhile."""

from __future__ import annotations

import json
import multiprocessing as mp
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from typing import Any

import psycopg
import sqlalchemy as sa

from benchmarks.app import Setup, build
from benchmarks.contest import HOT, Runner, running
from benchmarks.stacks import Stack
from inngest_celery import ids
from inngest_celery.worker.keeping import ending
from inngest_celery.worker.keeping.plan import plan_of
from inngest_celery.worker.runtime import runtime_of

_RULES = [{"function": "benchmark-old", "keep": "30 days"}]
_DAY = 86_400_000
_AT_ONCE = 4
_WINDOW_S, _ROUNDS = 6.0, 4
# What a worker's chore waits between two transactions.
_PACE_S = 0.05
# A run has its event, the one that tells of its end, and two steps.
_ROWS = 5


def retention(stack: Stack, number: int, say: Callable[[str], None]) -> dict[str, float]:
    """Give rows a second, and how much slower live runs are meanwhile than without, in turns.

    Args:
        number: how many old runs there are.
    """
    database = stack.new_database()
    say(f"inserting {number} old runs")
    _insert(database, number)
    found: dict[str, float] = {f"{number:,} old runs: rows": float(number * _ROWS)}
    with running(HOT, stack, database=database) as runner:
        for _ in range(20):
            runner.lone()
        for label, pace in (("as workers do it", _PACE_S), ("as `retention run` does it", 0.0)):
            say(f"live load with and without, {label}")
            found |= _beside(runner, runner.setup, label, pace)
    with _deleting(runner.setup, 0.0) as deleting:
        say("the rest, with nothing beside")
        deleting.go.set()
        began = time.perf_counter()
        before = deleting.rows
        while not deleting.done.is_set():
            time.sleep(0.1)
        took, rows = time.perf_counter() - began, deleting.rows - before
        found["rows deleted a second, nothing beside"] = round(rows / took)
        found["and so many rows were that"] = rows
    return found


def _beside(runner: Runner, setup: Setup, label: str, pace: float) -> dict[str, float]:
    alone, beside = _Load(), _Load()
    deleted, took = 0, 0.0
    with _deleting(setup, pace) as deleting:
        for _ in range(_ROUNDS):
            _load(runner, alone)
            before = deleting.rows
            deleting.go.set()
            took += _load(runner, beside)
            deleting.go.clear()
            deleted += deleting.rows - before
    ratio = statistics.median(without / with_it for without, with_it in zip(alone.rates, beside.rates, strict=True))
    return {
        f"rows deleted a second, {label}": round(deleted / took),
        f"live runs a second without it, {label}": round(statistics.median(alone.rates), 1),
        f"live runs a second with it, {label}": round(statistics.median(beside.rates), 1),
        f"how much slower, {label}": round(ratio, 2),
        f"p50 of a live run without and with it, {label}: ms, without": round(statistics.median(alone.times), 1),
        f"p50 of a live run without and with it, {label}: ms, with": round(statistics.median(beside.times), 1),
    }


@dataclass
class _Load:
    """Runs a second of each window, and milliseconds of each run."""

    rates: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)


def _load(runner: Runner, load: _Load) -> float:
    """Keep so many runs going for a window; give how long it was."""
    began = time.perf_counter()
    done = 0
    while time.perf_counter() - began < _WINDOW_S:
        took = runner.together(_AT_ONCE)
        load.times += took
        done += len(took)
    seconds = time.perf_counter() - began
    load.rates.append(done / seconds)
    return seconds


class _deleting:
    """Retention in a process of its own, which goes on while it may."""

    def __init__(self, setup: Setup, pace: float) -> None:
        context = mp.get_context("spawn")
        self.go: Event = context.Event()
        self.done: Event = context.Event()
        self._rows = context.Value("q", 0)
        arguments = (setup, pace, self.go, self.done, self._rows)
        self._process = context.Process(target=_delete, args=arguments, daemon=True)

    @property
    def rows(self) -> int:
        return int(self._rows.value)

    def __enter__(self) -> _deleting:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()


def _delete(setup: Setup, pace: float, go: Event, done: Event, rows: Any) -> None:
    app = build(setup).app
    app.conf.inngest_retention = _RULES
    runtime = runtime_of(app)
    plan = plan_of(runtime)
    [(what, length)] = ending.lengths(plan)
    more = True
    while more:
        go.wait()
        ended = ending.go_on(runtime, plan, what, length)
        rows.value += sum(ended.counts.values())
        more = ended.more
        time.sleep(pace)
    done.set()


def _insert(url: str, number: int) -> None:
    at = round(time.time() * 1000) - 40 * _DAY
    address = sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address) as connection:
        _copy(connection, "inngest_event (id, name, external_id, data, ts, received_at)", _events(number, at))
        _copy(
            connection,
            "inngest_run (id, function_id, event_id, status, created_at, started_at, ended_at, output)",
            (
                (_id(n, at), "benchmark-old", _id(n, at, "e"), 300, at + n, at + n, at + n, '"done"')
                for n in range(number)
            ),
        )
        _copy(
            connection,
            "inngest_step (run_id, id, name, op, memo, failed, attempt, queued_at, started_at, ended_at, seq)",
            (
                (_id(n, at), step, step, "StepRun", '{"data":{"sent":true}}', False, 0, at, at, at, 1)
                for n in range(number)
                for step in ("first", "second")
            ),
        )
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE")


def _events(number: int, at: int) -> Iterator[tuple[object, ...]]:
    data = json.dumps({"order": 4711, "customer": "c7", "note": "x" * 200})
    for n in range(number):
        yield _id(n, at, "e"), "bench/old", _id(n, at, "e"), data, at + n, at + n
        run_id = _id(n, at)
        told = ids.derived(ids.time_of(run_id), run_id, "inngest/function.finished")
        yield told, "inngest/function.finished", told, data, at + n, at + n


def _id(number: int, at: int, kind: str = "r") -> str:
    return ids.derived(at + number, kind, str(number))


def _copy(connection: psycopg.Connection[Any], into: str, rows: Iterable[tuple[object, ...]]) -> None:
    with connection.cursor() as cursor, cursor.copy(f"COPY {into} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
