"""How cost grows: long runs, many sleeping runs, many open waits."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

import psutil
import sqlalchemy as sa

import inngest_celery as inngest
from benchmarks.app import Contender, Setup, build
from benchmarks.contest import HOP, HOT, Runner, running
from benchmarks.stacks import Stack, new_queue
from inngest_celery.engine import waiting
from inngest_celery.store import jobs
from inngest_celery.store.rows import Event, Wait
from inngest_celery.worker.outbox import outbox
from inngest_celery.worker.registry import functions_of, synchronise
from inngest_celery.worker.runtime import Runtime, runtime_of
from inngest_celery.worker.sweeper import sweep_once
from inngest_celery.worker.tasks import perform_claimed

_DAY = 86_400_000
_EVENT = "bench/paid"


def long_runs(stack: Stack, lengths: list[int], say: Callable[[str], None]) -> dict[str, float]:
    """Give milliseconds a step for runs of these numbers of steps, kept hot and with a hop at every step."""
    found: dict[str, float] = {}
    for way in (HOT, HOP):
        with running(way, stack) as runner:
            runner.lone()
            for length in lengths:
                say(f"a run of {length} steps, {way.name}")
                found[f"a run of {length} steps, {way.name}: ms a step"] = round(_long(runner, length), 2)
    return found


def _long(runner: Runner, steps: int) -> float:
    return min(runner.lone(steps) / steps for _ in range(2))


def many_rows(stack: Stack, number: int, say: Callable[[str], None]) -> dict[str, float]:
    """Give what a sweep, an event and a worker cost beside many sleeping runs and open waits."""
    database = stack.new_database()
    setup = Setup(stack.broker, new_queue("growth"), stack.notices, database, 0.25)
    contender = build(setup)
    runtime = runtime_of(contender.app)
    runtime.sends_hints = False
    synchronise(runtime, functions_of(contender.app).values())
    found: dict[str, float] = {}
    for label, rows in (("no", 0), (f"{number:,}", number)):
        if rows:
            say(f"inserting {rows} sleeping runs and {rows} open waits")
            _insert(runtime, rows)
        say(f"measuring beside {label} of them")
        found[f"a sweep's tick, {label} sleeping runs: ms"] = round(_median_ms(lambda: sweep_once(runtime)), 2)
        matched = iter(range(1000))
        wake = _median_ms(lambda: _route(contender, runtime, next(matched)), 30)  # noqa: B023  called before the next
        found[f"routing an event, {label} open waits: ms"] = round(wake, 2)
        found[f"a worker's main process, {label} of both: MiB"] = round(_memory(stack, database))
    runtime.database.dispose()
    return found


def _insert(runtime: Runtime, number: int) -> None:
    """Insert runs that sleep for a day and runs that wait for an event about their own order, PostgreSQL's way."""
    now = runtime.clock.now()
    sample = _wait(now)
    values = {
        "number": number,
        "now": now,
        "later": now + _DAY,
        "anchors": [
            anchor
            for order in range(number)
            for anchor in waiting.anchors(sample.paths, waiting.as_variable(_paid(order)))
        ],
        "expression": str(sample.expression).replace("-1", "%s"),
        "paths": json.dumps(sample.paths),
        "event": _EVENT,
    }
    statements = (
        "INSERT INTO inngest_run (id, function_id, event_id, status, created_at, started_at) "
        "SELECT kind || lpad(n::text, 25, '0'), 'benchmark-five-async', 'none', 200, :now, :now "
        "FROM generate_series(0, :number - 1) n, (VALUES ('S'), ('W')) kinds (kind)",
        "INSERT INTO inngest_job (subject_id, key, kind, name, function_id, task_name, queue, created_at, due_at, "
        "sweep_at, hints, attempt, fence) SELECT id, 'key', CASE WHEN id < 'W' THEN 'sleep' ELSE 'timeout' END, 'nap', "
        "function_id, function_id, 'nowhere', :now, :later, :later - 60000, 0, 0, 0 FROM inngest_run "
        "WHERE event_id = 'none'",
        "INSERT INTO inngest_wait (run_id, key, kind, name, event_name, anchor, expression, created_at, expires_at) "
        "SELECT 'W' || lpad((n - 1)::text, 25, '0'), 'key', 'WaitForEvent', 'paid', :event, anchor, "
        "format(:expression, n - 1), :now, :later "
        "FROM unnest(CAST(:anchors AS text[])) WITH ORDINALITY AS listed (anchor, n)",
        "INSERT INTO inngest_topic (event_name, paths) VALUES (:event, :paths)",
    )
    with runtime.database.transaction() as connection:
        for statement in statements:
            connection.execute(sa.text(statement), values)
    with runtime.database.autocommit() as connection:
        connection.exec_driver_sql("ANALYZE")


def _wait(now: int) -> Wait:
    """Give the wait of a run about order -1."""
    expression = "event.data.order == async.data.order"
    return waiting.wait_for(
        "", "", "", event_name=_EVENT, expression=expression, event=_paid(-1), now=now, expires_at=now + _DAY
    )


def _paid(order: int) -> Event:
    return Event("", _EVENT, "", json.dumps({"order": order}), 0, 0)


def _route(contender: Contender, runtime: Runtime, order: int) -> None:
    [event_id] = outbox(contender.app).send([inngest.Event(name=_EVENT, data={"order": order})])
    now = runtime.clock.now()
    until = now + runtime.settings.lease_ms
    claimed = jobs.claim(runtime.database, event_id, "route", owner=runtime.worker_name, now=now, until=until)
    assert claimed is not None
    perform_claimed(runtime, claimed, "benchmark")


def _memory(stack: Stack, database: str) -> float:
    """Give the memory of a worker that has swept a few times, in MiB."""
    with running(HOT, stack, database=database) as runner:
        runner.lone()
        time.sleep(3)
        return float(psutil.Process(runner.pid).memory_info().rss) / 2**20


def _median_ms(action: Callable[[], object], times: int = 10) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)
