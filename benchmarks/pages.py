"""How long the dashboard's pages take beside millions of runs."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import sqlalchemy as sa
from celery import Celery

from benchmarks.stacks import Stack
from inngest_celery import ids
from inngest_celery.server.application import create_app
from inngest_celery.server.options import Options
from inngest_celery.server.paging import write_cursor
from inngest_celery.worker.runtime import Runtime, runtime_of
from tests.server.web import served

_FUNCTIONS = 20
_AN_INSTANT = 1000
_DAYS = 30
_DAY_MS = 86_400_000
# A twentieth fails, a fiftieth is cancelled; the newest thousand have not ended.
_STATUS = "CASE WHEN n % 20 = 7 THEN 400 WHEN n % 50 = 3 THEN 500 ELSE 300 END"


def pages(stack: Stack, number: int, say: Callable[[str], None]) -> dict[str, float]:
    """Give how long each page takes, in milliseconds, the browser's part left out; and how large the database is."""
    with _server(stack.new_database()) as (runtime, http):
        began = time.perf_counter()
        say(f"inserting {number:,} runs and as many events")
        middle = _insert(runtime, number)
        found: dict[str, float] = {"inserting them: s": round(time.perf_counter() - began)}
        cursor = write_cursor(ids.time_of(middle), middle)
        for name, path in {
            "runs": "/runs",
            "runs, a page in the middle": f"/runs?cursor={cursor}",
            "runs that failed": "/runs?status=FAILED",
            "runs that failed, of one function": "/runs?status=FAILED&function=bench-f3",
            "runs of an app, of the last 24 h": "/runs?app=bench&last=24h",
            "runs, none that an expression finds": "/runs?where=event.data.n%20%3C%200",
            "a run": f"/runs/{middle}",
            "events": "/events",
            "events of one name": "/events?name=bench/e3",
            "failures": "/failures",
            "functions": "/functions",
            "a function": "/functions/bench-f3",
            "a function's last 7 days": "/functions/bench-f3?last=7d",
        }.items():
            say(f"asking for {name}")
            found[f"{name}: ms"] = _median_ms(http, path)
    return found


@contextmanager
def _server(database: str) -> Iterator[tuple[Runtime, httpx.Client]]:
    app = Celery("pages", broker="memory://", set_as_current=False)
    app.conf.inngest_database_url = database
    runtime = runtime_of(app)
    options = Options(discovery=False, poll_interval=0)
    with served(create_app(runtime, options)) as url, httpx.Client(base_url=url, timeout=120) as http:
        yield runtime, http
    runtime.database.dispose()


def _median_ms(http: httpx.Client, path: str) -> float:
    taken = []
    for _ in range(5):
        began = time.perf_counter()
        http.get(path).raise_for_status()
        taken.append((time.perf_counter() - began) * 1000)
    return round(statistics.median(taken), 1)


@contextmanager
def _without_indexes(connection: sa.Connection) -> Iterator[None]:
    """Make what is only for speed anew at the end: that is quicker than to keep it right for every row."""
    found = connection.exec_driver_sql(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename IN ('inngest_run', 'inngest_event') "
        "AND indexdef NOT LIKE '%% UNIQUE %%'"
    ).all()
    for name, _ in found:
        connection.exec_driver_sql(f"DROP INDEX {name}")
    yield
    connection.exec_driver_sql("SET LOCAL maintenance_work_mem = '512MB'")
    for _, definition in found:
        connection.exec_driver_sql(definition)


def _insert(runtime: Runtime, number: int) -> str:
    """Insert runs of a month with their events, PostgreSQL's way; give one in the middle."""
    now = runtime.clock.now()
    instants = max(number // _AN_INSTANT, 1)
    times = [now - _DAYS * _DAY_MS * (instants - position) // instants for position in range(instants)]
    prefixes = [ids.first_of(at)[:10] for at in times]
    values = {"times": times, "prefixes": prefixes, "each": _AN_INSTANT, "open": now - 2 * _DAYS * _DAY_MS // instants}
    source = (
        "FROM unnest(CAST(:times AS bigint[]), CAST(:prefixes AS text[])) WITH ORDINALITY AS moment (at, prefix, part),"
        " LATERAL (SELECT (part - 1) * :each + k AS n, prefix || lpad(k::text, 16, '0') AS id "
        "FROM generate_series(0, :each - 1) k) row"
    )
    config = json.dumps({"id": "f", "name": "f", "triggers": [{"event": "bench/e"}], "steps": {}})
    with runtime.database.transaction() as connection, _without_indexes(connection):
        connection.execute(
            sa.text(
                "INSERT INTO inngest_function (id, app_id, config, checksum, version, task_name, queue, updated_at) "
                "SELECT 'bench-f' || n, 'bench', :config, '', 0, 'bench/f' || n, 'bench', 0 "
                "FROM generate_series(0, :last) n"
            ),
            {"config": config, "last": _FUNCTIONS - 1},
        )
        connection.execute(
            sa.text(
                "INSERT INTO inngest_event (id, name, external_id, data, ts, received_at) SELECT row.id, "
                f"'bench/e' || n % {_FUNCTIONS}, row.id, '{{\"n\": ' || n || '}}', at, at {source}"
            ),
            values,
        )
        connection.execute(
            sa.text(
                "INSERT INTO inngest_run (id, function_id, event_id, status, created_at, started_at, ended_at, output) "
                f"SELECT row.id, 'bench-f' || n % {_FUNCTIONS}, row.id, CASE WHEN at > :open THEN 200 ELSE {_STATUS} "
                f"END, at, at + n % 50, CASE WHEN at > :open THEN NULL ELSE at + 100 + n % 900 END, CASE {_STATUS} "
                'WHEN 400 THEN \'{"name": "ValueError", "message": "order \' || n || \' has no address"}\' '
                f"ELSE '\"done\"' END {source}"
            ),
            values,
        )
    with runtime.database.autocommit() as connection:
        connection.exec_driver_sql("VACUUM ANALYZE inngest_run")
        connection.exec_driver_sql("VACUUM ANALYZE inngest_event")
    return f"{prefixes[instants // 2]}{'0' * 16}"
