"""Which runs are held: by their id, by their function, or by an expression over their event and output.

A hold holds the runs that there are and those that come, with the events that have started them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

import sqlalchemy as sa

from inngest_celery import ids
from inngest_celery.engine.searching import condition, variables_of
from inngest_celery.store import events, functions, holds, listing, walks
from inngest_celery.store.conflicts import retried
from inngest_celery.store.holds import Hold
from inngest_celery.store.listing import RunFilter
from inngest_celery.worker.control import FunctionNotRegisteredError
from inngest_celery.worker.runs import RunNotFoundError
from inngest_celery.worker.runtime import Runtime

T = TypeVar("T")
# What the names of the walks begin with that delete.
RETENTION = ("runs:", "events:")


class HoldNotFoundError(LookupError):
    """There is no such hold, or it was released before. ``code`` is ``hold_not_found``."""

    code = "hold_not_found"

    def __init__(self, hold_id: str) -> None:
        super().__init__(f"No hold {hold_id!r} holds anything. `hold list` shows those that do.")


def add(
    runtime: Runtime,
    reason: str,
    by: str,
    *,
    run_id: str | None = None,
    function_id: str | None = None,
    where: str | None = None,
) -> Hold:
    """Hold a run, a function's runs, or those of which an expression is true; exactly one of them is given.

    When this has returned, nothing deletes them any more: neither retention nor an erasure nor anybody at a dashboard.

    Args:
        reason: why, for whoever reads the list.
        by: who wants it.
        where: over ``event``, ``output`` and ``error``.

    Raises:
        RunNotFoundError, FunctionNotRegisteredError: there is none of that id.
        ExpressionError: the expression cannot be read.
    """
    condition(where)
    with runtime.database.autocommit() as connection:
        if run_id is not None and not listing.known(connection, [run_id]):
            raise RunNotFoundError(run_id)
        if function_id is not None and functions.get(connection, function_id) is None:
            raise FunctionNotRegisteredError(function_id)
    now = runtime.clock.now()
    hold = Hold(ids.new(now), reason[:1000], by[:100], now, run_id, function_id, where)
    holds.add(runtime.database, hold)
    return hold


@retried
def release(runtime: Runtime, hold_id: str, by: str) -> None:
    """Let what was held be deleted again. Retention looks at all there is once more.

    Raises:
        HoldNotFoundError: there is no such hold, or it was released before.
    """
    now = runtime.clock.now()
    with runtime.database.transaction() as connection:
        if not holds.release(connection, hold_id, by[:100], now):
            raise HoldNotFoundError(hold_id)
        retention = [walk.name for walk in walks.all_of(connection) if walk.name.startswith(RETENTION)]
        walks.begin_anew(connection, retention, now)


def deleting(runtime: Runtime, transaction: Callable[[], T]) -> T:
    """Do a transaction that asks :func:`held`; once more where nobody has ever held or deleted anything."""
    try:
        return transaction()
    except holds.LockMissing:
        holds.prepare(runtime.database)
        return transaction()


def held(connection: sa.Connection, run_ids: Collection[str]) -> dict[str, str]:
    """Give those of these runs that are held, each with the hold; none more are until the transaction ends."""
    return among(connection, holds.share(connection), run_ids)


def among(connection: sa.Connection, active: Sequence[Hold], run_ids: Collection[str]) -> dict[str, str]:
    """Give those of these runs that these holds hold."""
    if not active or not run_ids:
        return {}
    by_run = {hold.run_id: hold.id for hold in active if hold.run_id}
    found = {run_id: by_run[run_id] for run_id in run_ids if run_id in by_run}
    if len(by_run) == len(active):
        return found
    by_function = {hold.function_id: hold.id for hold in active if hold.function_id}
    conditions = [(hold.id, condition(hold.expression)) for hold in active if hold.expression]
    runs = listing.page(connection, RunFilter(ids=run_ids), listing.Order(), len(run_ids))
    wanted = sorted({run.event_id for run in runs}) if conditions else []
    started_by = {event.id: event for event in events.several(connection, wanted)}
    for run in runs:
        if run.function_id in by_function:
            found.setdefault(run.id, by_function[run.function_id])
        variables = variables_of(run, started_by.get(run.event_id)) if conditions else {}
        for hold_id, holds_it in conditions:
            if holds_it is not None and holds_it(variables):
                found.setdefault(run.id, hold_id)
    return found
