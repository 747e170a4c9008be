"""What a run puts off until its end. Each becomes an event then, unless it was aborted.

It stands in the table of waits, as what a run leaves open until it ends: written under the run's lock, gone with the
run's end, in the transaction that stores the event. No event ends it before, for it waits for none.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence

import sqlalchemy as sa

from inngest_celery import ids
from inngest_celery.store import schema, waits
from inngest_celery.store.rows import Event, Run, Wait

logger = logging.getLogger(__name__)

ADD, ABORT = "DeferAdd", "DeferAbort"
SCHEDULE = "inngest/deferred.schedule"
# What is a wait, as opposed to these.
WAITS = schema.wait.c.kind.not_in((ADD, ABORT))
_MOST = 20
_MOST_BYTES = 4 * 1024 * 1024
_FOREVER = 2**62


def added(run_id: str, key: str, name: str, fn_slug: str, data: dict[str, object], now: int) -> Wait:
    """Give the row of something put off: the data that a function is to get."""
    text = json.dumps({"fn_slug": fn_slug, "data": data}, ensure_ascii=False)
    # What anchors others is here the size.
    return Wait(run_id, key, ADD, name, "", str(len(text.encode())), text, now, _FOREVER)


def aborted(run_id: str, key: str, name: str, target: str, now: int) -> Wait:
    """Give the row that says that another one, of the key ``target``, is not to be done after all."""
    return Wait(run_id, key, ABORT, name, "", "", target, now, _FOREVER)


def record(connection: sa.Connection, run_id: str, rows: Sequence[Wait]) -> None:
    """Keep those of the rows that are new, as far as a run may have more. The run is locked by this transaction."""
    if not rows:
        return
    table = schema.wait
    query = sa.select(table.c.key, table.c.kind, table.c.anchor)
    known = connection.execute(query.where(table.c.run_id == run_id, table.c.kind.in_((ADD, ABORT)))).all()
    sizes = {row.key: int(row.anchor) for row in known if row.kind == ADD}
    new = {row.key: row for row in rows if row.key not in {each.key for each in known}}
    for row in list(new.values()):
        if row.kind != ADD:
            continue
        sizes[row.key] = int(row.anchor)
        if len(sizes) > _MOST or sum(sizes.values()) > _MOST_BYTES:
            del sizes[row.key], new[row.key]
            message = "%s of run %s is dropped: a run may put off %s calls, with %s bytes in all"
            logger.warning(message, row.name, run_id, _MOST, _MOST_BYTES, extra={"action": "defer_dropped"})
    waits.insert(connection, list(new.values()))


def events_of(connection: sa.Connection, run: Run, now: int) -> list[Event]:
    """Give the events of a run that ends, always the same for the same run."""
    table = schema.wait
    query = sa.select(table).where(table.c.run_id == run.id, table.c.kind.in_((ADD, ABORT)))
    found = connection.execute(query.order_by(table.c.created_at, table.c.key)).all()
    gone = {row.expression for row in found if row.kind == ABORT}
    return [_event(run, row.key, row.expression, now) for row in found if row.kind == ADD and row.key not in gone]


def _event(run: Run, key: str, text: str, now: int) -> Event:
    kept = json.loads(text)
    parent = {"parent_fn_slug": run.function_id, "parent_run_id": run.id}
    data = {**kept["data"], "_inngest": {"fn_slug": kept["fn_slug"], **parent}}
    event_id = ids.derived(ids.time_of(run.id), run.id, key, SCHEDULE)
    return Event(event_id, SCHEDULE, event_id, json.dumps(data, ensure_ascii=False), now, now)
