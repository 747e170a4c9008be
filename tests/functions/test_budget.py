"""What a step costs: statements, commits and messages, counted on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

import inngest_celery as inngest
from inngest_celery.store import schema
from inngest_celery.worker.runtime import runtime_of
from tests.functions.bench import Bench

pytestmark = pytest.mark.databases("postgres")
FEW, MORE = 2, 12


@dataclass
class Bill:
    """What was spent."""

    statements: int = 0
    commits: int = 0
    messages: int = 0


@contextmanager
def counting(bench: Bench) -> Iterator[Bill]:
    """Count what goes to the bench's database and to the broker during the block."""
    bill = Bill()
    name = sa.make_url(bench.app.conf.inngest_database_url).database

    def execute_directly(cursor: psycopg.RawCursor[Any], *args: Any) -> object:
        execute(None, cursor)
        return psycopg.Cursor.execute(cursor, *args)

    def execute(_connection: object, cursor: Any, *_: object) -> None:
        # Other benches of this process may have threads that are about to end.
        if not isinstance(cursor.connection, psycopg.Connection) or cursor.connection.info.dbname != name:
            return
        bill.statements += 1
        # In autocommit every statement is a transaction.
        bill.commits += cursor.connection.autocommit

    def commit(connection: sa.Connection) -> None:
        bill.commits += not connection.connection.dbapi_connection.autocommit  # type: ignore[union-attr]

    def publish(*_: object, **__: object) -> None:
        bill.messages += 1

    sa.event.listen(sa.Engine, "before_cursor_execute", execute)
    sa.event.listen(sa.Engine, "commit", commit)
    runtime = runtime_of(bench.app)
    runtime.sends_hints = True
    bench.app.send_task = publish
    # What SQLAlchemy does not see, see ``store.direct``.
    direct: Any = psycopg.RawCursor
    direct.execute = execute_directly
    try:
        yield bill
    finally:
        runtime.sends_hints = False
        del direct.execute
        sa.event.remove(sa.Engine, "before_cursor_execute", execute)
        sa.event.remove(sa.Engine, "commit", commit)


def bill_of_a_run(bench: Bench, steps: int) -> Bill:
    """Send an event, take each job as a worker does when its hint comes, and count what all of it costs."""
    bench.inline  # noqa: B018
    with counting(bench) as bill:
        [event_id] = bench.client.send_sync(inngest.Event(name="test/go", data={"steps": steps}))
        perform(bench, event_id, "route")
    while jobs := bench.rows(schema.job):
        [job] = jobs
        with counting(bench) as more:
            perform(bench, job.subject_id, job.key)
        bill.statements += more.statements
        bill.commits += more.commits
        bill.messages += more.messages
    return bill


def perform(bench: Bench, subject_id: str, key: str) -> None:
    claimed = bench.claim(subject_id, key)
    assert claimed is not None
    bench.perform(claimed)


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "sync"])
def test_what_a_step_costs(is_async: bool, bench: Bench) -> None:
    define = asynchronous if is_async else synchronous
    bench.function()(define)
    bill_of_a_run(bench, 0)
    few, more = bill_of_a_run(bench, FEW), bill_of_a_run(bench, MORE)
    steps = MORE - FEW
    statements = (more.statements - few.statements) / steps
    commits = (more.commits - few.commits) / steps
    messages = (more.messages - few.messages) / steps
    if bench.hot:
        assert (statements, commits, messages) == (1, 1, 0)
    else:
        assert 1 < statements <= 3
        assert 1 <= commits <= 2
        assert messages == 1


def test_what_sending_and_routing_cost(bench: Bench) -> None:
    bench.function()(asynchronous)
    bill_of_a_run(bench, 0)
    with counting(bench) as sending:
        [event_id] = bench.client.send_sync(inngest.Event(name="test/go", data={"steps": 1}))
    assert (sending.statements, sending.commits, sending.messages) == (1, 1, 1)
    with counting(bench) as routing:
        perform(bench, event_id, "route")
    # Claim, functions, start, and the checkpoint: it plans the first step or, if the run is kept, has it and the end.
    assert routing.statements == 4
    assert routing.messages == (0 if bench.hot else 1)
    bench.inline.drain()


async def asynchronous(ctx: inngest.Context) -> None:
    async def body() -> int:
        return 1

    for number in range(int(str(ctx.event.data["steps"]))):
        await ctx.step.run(f"step {number}", body)


def synchronous(ctx: inngest.ContextSync) -> None:
    for number in range(int(str(ctx.event.data["steps"]))):
        ctx.step.run(f"step {number}", lambda: 1)
