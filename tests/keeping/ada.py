"""Functions that put what they know of somebody wherever it can be put, and a search for it in all that is stored."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa

import inngest_celery as inngest
from inngest_celery.store import schema
from inngest_celery.store.database import Database
from tests.functions.bench import Bench

ADA, BOB = "ada-7f3a@example.com", "bob-91c2@example.com"
WHERE = f'event.data.email == "{ADA}"'


def define(bench: Bench) -> None:
    def on(name: str) -> inngest.TriggerEvent:
        return inngest.TriggerEvent(event=name)

    @bench.function("child", trigger=on("never"))
    def child(ctx: inngest.ContextSync) -> object:
        return {"child of": ctx.event.data["who"]}

    @bench.function("join", trigger=on("test/joined"), retries=1)
    def join(ctx: inngest.ContextSync) -> object:
        email = str(ctx.event.data["email"])

        def fails_once() -> str:
            bench.calls[email] += 1
            if bench.calls[email] == 1:
                raise ValueError(f"{email} is not there yet")
            return f"wrote to {email}"

        ctx.step.run(f"write to {email}", fails_once)
        ctx.step.send_event("tell", inngest.Event(name="test/told", data={"about": email}))
        ctx.step.invoke("call", function=child, data={"who": email})
        ctx.step.wait_for_event("wait", event="test/paid", if_exp="event.data.email == async.data.email", timeout=DAYS)
        ctx.step.sleep("rest", timedelta(hours=1))
        return {"email": email}

    @bench.function("told", trigger=on("test/told"), retries=0)
    def told(ctx: inngest.ContextSync) -> object:
        raise ValueError(f"cannot tell {ctx.event.data['about']}")

    @bench.function("late", trigger=on("inngest/function.failed"))
    def late(ctx: inngest.ContextSync) -> object:
        return ctx.event.data["event"]

    @bench.function("any", trigger=on("test/any"))
    def anybody(ctx: inngest.ContextSync) -> object:
        return ctx.step.wait_for_event("wait", event="test/paid", timeout=DAYS)

    @bench.function("many", trigger=on("test/many"), batch_events=inngest.Batch(max_size=2, timeout=10_000))
    def many(ctx: inngest.ContextSync) -> object:
        return [event.data["email"] for event in ctx.events]


DAYS = timedelta(days=3)


def live(bench: Bench) -> None:
    """Let everything happen to Ada, and something to Bob."""
    bench.send("test/any", id=1)
    for email in (ADA, BOB):
        bench.send("test/joined", email=email)
    bench.advance(minutes=5)
    bench.send("test/paid", email=ADA)
    bench.advance(hours=2)
    for email in (ADA, BOB):
        bench.send("test/many", email=email)
    bench.advance(minutes=1)
    # This one waits.
    bench.send("test/joined", email=ADA, again=True)
    bench.advance(minutes=5)


def stored(database: Database) -> bytes:
    """Give all that a dump of the database has; of SQLite, the file itself without what is free in it."""
    if database.dialect == "sqlite":
        path = Path(str(database.url.database))
        with database.engine.connect() as connection:
            raw = connection.connection.dbapi_connection
            assert raw is not None
            for statement in ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
                raw.execute(statement).fetchall()  # type: ignore[attr-defined]
        return path.read_bytes() + path.with_name(path.name + "-wal").read_bytes()
    text = []
    with database.autocommit() as connection:
        for table in schema.metadata.sorted_tables:
            text += [repr(tuple(row)) for row in connection.execute(sa.text(f"SELECT * FROM {table.name}"))]  # noqa: S608
    return "\n".join(text).encode()


def tables_with(database: Database, marker: str) -> set[str]:
    """Give the columns in which somebody stands, as table.column."""
    found = set()
    with database.autocommit() as connection:
        for table in schema.metadata.sorted_tables:
            for row in connection.execute(sa.select(table)).mappings():
                found |= {f"{table.name}.{name}" for name, value in row.items() if marker in str(value)}
    return {name.removeprefix("inngest_") for name in found}
