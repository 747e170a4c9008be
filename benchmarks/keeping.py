"""Retention and rotation beside live load: how quick they are, and what they cost those who run meanwhile."""

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
from benchmarks.contest import HOT, HOT_ENCRYPTED, Runner, Way, running
from benchmarks.stacks import Stack
from inngest_celery import ids
from inngest_celery.store import partitioning, partitions, resealing
from inngest_celery.store.database import Database
from inngest_celery.worker.keeping import ending
from inngest_celery.worker.keeping.periods import Periods
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
# Rows that `encryption rotate` changes in a transaction.
_BATCH = 200


def retention(stack: Stack, number: int, say: Callable[[str], None]) -> dict[str, float]:
    """Give rows a second, and how much slower live runs are meanwhile than without, in turns.

    Args:
        number: how many old runs there are.
    """
    paces = {"as workers do it": _PACE_S, "as `retention run` does it": 0.0}
    return _chore(stack, number, say, HOT, _delete, "deleted", paces)


def rotation(stack: Stack, number: int, say: Callable[[str], None]) -> dict[str, float]:
    """Give the same of what encrypts a database that was in the clear, as it also does it from one key to the next.

    Args:
        number: how many old runs there are.
    """
    paces = {"by `encryption rotate`": 0.0, f"with --pause {_PACE_S}": _PACE_S}
    return _chore(stack, number, say, HOT_ENCRYPTED, _encrypt, "encrypted", paces)


def _chore(
    stack: Stack,
    number: int,
    say: Callable[[str], None],
    way: Way,
    chore: Callable[..., None],
    done: str,
    paces: dict[str, float],
) -> dict[str, float]:
    """Measure a chore on old runs beside live ones, at each pace, and alone for what is left then.

    Args:
        way: what the live runs are.
        done: what the chore has done to rows, in a word.
        paces: seconds that it waits between two transactions, by what that is called.
    """
    database = stack.new_database()
    say(f"inserting {number} old runs")
    _insert(database, number)
    found: dict[str, float] = {f"{number:,} old runs: rows": float(number * _ROWS)}
    with running(way, stack, database=database) as runner:
        for _ in range(20):
            runner.lone()
        for label, pace in paces.items():
            say(f"live load with and without, {label}")
            found |= _beside(runner, label, pace, chore, done)
    say("the rest, with nothing beside")
    return found | _alone(runner.setup, chore, done)


def dropping(stack: Stack, number: int, say: Callable[[str], None]) -> dict[str, float]:
    """Give the same where the tables are partitioned by week: all that is old goes as two periods.

    Args:
        number: how many old runs there are in each of the two.
    """
    database = stack.new_database()
    _partition(database)
    for days in (50, 40):
        say(f"inserting {number} old runs")
        _insert(database, number, days)
    rows = number * _ROWS
    found: dict[str, float] = {f"{number:,} old runs in a partition: rows": float(rows)}
    with running(HOT, stack, database=database) as runner, _Meanwhile(runner.setup, 0.0, _drop) as deleting:
        for _ in range(20):
            runner.lone()
        alone, beside = _Load(), _Load()
        say("live load without")
        for _ in range(2):
            _load(runner, alone)
        say("live load beside the drop of one")
        began = time.perf_counter()
        deleting.go.set()
        while deleting.rows < rows:
            _load(runner, beside, 1.0)
        took = time.perf_counter() - began
        found |= {
            "rows dropped a second, beside live runs, about": round(rows / took),
            "live runs a second without it, dropping": round(statistics.median(alone.rates), 1),
            "live runs a second with it, dropping": round(statistics.median(beside.rates), 1),
            "longest live run without it, ms": round(max(alone.times), 1),
            "longest live run with it, ms": round(max(beside.times), 1),
        }
    say("the other, with nothing beside")
    with _Meanwhile(runner.setup, 0.0, _drop) as deleting:
        before = _deleted(database)
        began = time.perf_counter()
        deleting.go.set()
        while not deleting.done.is_set():
            time.sleep(0.01)
        found["rows dropped a second, nothing beside"] = round(rows / (time.perf_counter() - began))
        found["and so many of them are left to vacuum"] = _deleted(database) - before
    return found


def _beside(runner: Runner, label: str, pace: float, chore: Callable[..., None], done: str) -> dict[str, float]:
    """Measure a chore beside live load, and that load with and without it."""
    alone, beside = _Load(), _Load()
    rows, took = 0, 0.0
    with _Meanwhile(runner.setup, pace, chore) as meanwhile:
        for _ in range(_ROUNDS):
            _load(runner, alone)
            before = meanwhile.rows
            meanwhile.go.set()
            took += _load(runner, beside)
            meanwhile.go.clear()
            rows += meanwhile.rows - before
    ratio = statistics.median(without / with_it for without, with_it in zip(alone.rates, beside.rates, strict=True))
    return {
        f"rows {done} a second, {label}": round(rows / took),
        f"live runs a second without it, {label}": round(statistics.median(alone.rates), 1),
        f"live runs a second with it, {label}": round(statistics.median(beside.rates), 1),
        f"how much slower, {label}": round(ratio, 2),
        f"p50 of a live run without and with it, {label}: ms, without": round(statistics.median(alone.times), 1),
        f"p50 of a live run without and with it, {label}: ms, with": round(statistics.median(beside.times), 1),
    }


def _alone(setup: Setup, chore: Callable[..., None], done: str) -> dict[str, float]:
    """Measure what is left of a chore, with nothing beside it."""
    with _Meanwhile(setup, 0.0, chore) as meanwhile:
        began = time.perf_counter()
        meanwhile.go.set()
        while not meanwhile.done.is_set():
            time.sleep(0.1)
        took, rows = time.perf_counter() - began, meanwhile.rows
    return {f"rows {done} a second, nothing beside": round(rows / took), "and so many rows were that": rows}


@dataclass
class _Load:
    """Runs a second of each window, and milliseconds of each run."""

    rates: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)


def _load(runner: Runner, load: _Load, window: float = _WINDOW_S) -> float:
    """Keep so many runs going for a window of seconds; give how long it was."""
    began = time.perf_counter()
    done = 0
    while time.perf_counter() - began < window:
        took = runner.together(_AT_ONCE)
        load.times += took
        done += len(took)
    seconds = time.perf_counter() - began
    load.rates.append(done / seconds)
    return seconds


class _Meanwhile:
    """A chore in a process of its own, which goes on while it may."""

    def __init__(self, setup: Setup, pace: float, chore: Callable[..., None]) -> None:
        context = mp.get_context("spawn")
        self.go: Event = context.Event()
        self.done: Event = context.Event()
        self._rows = context.Value("q", 0)
        arguments = (setup, pace, self.go, self.done, self._rows)
        self._process = context.Process(target=chore, args=arguments, daemon=True)

    @property
    def rows(self) -> int:
        return int(self._rows.value)

    def __enter__(self) -> _Meanwhile:
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


def _encrypt(setup: Setup, pace: float, go: Event, done: Event, rows: Any) -> None:
    runtime = runtime_of(build(setup).app)
    assert runtime.keyring is not None
    go.wait()
    for changed in resealing.reseal(runtime.database, runtime.keyring, runtime.keyring.current, _BATCH):
        rows.value += changed
        time.sleep(pace)
        go.wait()
    done.set()


def _drop(setup: Setup, _pace: float, go: Event, done: Event, rows: Any) -> None:
    """Drop one period that has rows, each time that it may."""
    app = build(setup).app
    app.conf.inngest_retention = _RULES
    runtime = runtime_of(app)
    plan = plan_of(runtime)
    periods = Periods(runtime)
    periods.begin(plan)
    go.wait()
    while periods.more:
        dropped = sum(periods.go_on(plan).values())
        rows.value += dropped
        if dropped:
            break
    done.set()


def _partition(url: str) -> None:
    database, now = Database(url), round(time.time() * 1000)
    partitioning.convert(database, "week", now - 70 * _DAY)
    partitions.make_ahead(database, now)
    database.dispose()


def _deleted(url: str) -> int:
    """Give how many rows of the tables were deleted one by one, since they exist."""
    with psycopg.connect(_address(url), autocommit=True) as connection:
        # A backend tells of what it did when it is idle for a second, or ends.
        time.sleep(2)
        found = connection.execute("SELECT sum(n_tup_del) FROM pg_stat_user_tables").fetchone()
    return int(found[0]) if found else 0


def _address(url: str) -> str:
    return sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def _insert(url: str, number: int, days: int = 40) -> None:
    at = round(time.time() * 1000) - days * _DAY
    with psycopg.connect(_address(url)) as connection:
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
