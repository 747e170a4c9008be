"""Debounce: a run starts when events have stopped coming, with the newest of them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from inngest_celery.engine import invoking, pending, skipping
from inngest_celery.engine.arrival import Arrival
from inngest_celery.engine.spec import Debounce, read_spec
from inngest_celery.engine.starting import start
from inngest_celery.engine.terms import Terms
from inngest_celery.store import events, runs
from inngest_celery.store.changes import Applied
from inngest_celery.store.functions import FunctionRow
from inngest_celery.store.rows import JobKind


def put_off(connection: sa.Connection, terms: Terms, function: FunctionRow, arrival: Arrival, now: int) -> Applied:
    """Let an event take the place of the one that waits, if it is not older, and wait anew."""
    policy = read_spec(function.config).debounce
    assert policy is not None
    event = arrival.event
    called = bool(arrival.invocation)
    opts: dict[str, Any] = {"event": event.id, "id": event.external_id, "ts": event.ts, "called": called}
    opts["first_at"] = now
    job, noted, new = pending.open_or_join(
        connection, terms, function, JobKind.DEBOUNCE, policy.key, arrival, opts, now, _due_at(policy, now, now)
    )
    opts |= {"run": noted["run"], "first_at": noted["first_at"]}
    if not called:
        # Whatever comes of it, this is the run in which the event is dealt with.
        events.add_starter(connection, opts["run"], event.id)
    if new:
        return Applied()
    if event.ts < noted["ts"]:
        return _give_way(connection, terms, function, opts, noted, now)
    pending.note(connection, job, opts, due_at=_due_at(policy, now, opts["first_at"]))
    return _give_way(connection, terms, function, noted, opts, now)


def begin(connection: sa.Connection, terms: Terms, function: FunctionRow, opts: dict[str, Any], now: int) -> Applied:
    """Start the run of the event that has won. Neither the rate limit nor the debounce is asked again."""
    event = events.get(connection, opts["event"])
    if event is None:
        return Applied()
    arrival = Arrival(event)
    run_id = invoking.run_id_of(arrival) or opts["run"]
    if run_id != opts["run"]:
        events.move_starters(connection, opts["run"], run_id)
    applied = start(connection, terms, function, arrival, now, run_id=run_id)
    if runs.get(connection, run_id) is None:
        events.forget_starters(connection, run_id)
    return applied


def _due_at(policy: Debounce, now: int, first_at: int) -> int:
    due_at = now + policy.period_ms
    return due_at if policy.timeout_ms is None else min(due_at, first_at + policy.timeout_ms)


def _give_way(
    connection: sa.Connection,
    terms: Terms,
    function: FunctionRow,
    loser: dict[str, Any],
    winner: dict[str, Any],
    now: int,
) -> Applied:
    """Tell who waits for the result of a run of its own that there will be none."""
    # The same call may be delivered twice.
    another = loser["called"] and loser["id"] != winner["id"]
    event = events.get(connection, loser["event"]) if another else None
    if event is None:
        return Applied()
    return skipping.skip(connection, terms, function, Arrival(event), now, skipping.debounced(winner["event"]))
