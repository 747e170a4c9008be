"""PostgreSQL only: what happens to every run, each as one statement, which makes it one round trip and one commit.

An event is stored, starts a run, the run's steps are recorded one at a time, the run ends. Whatever is not that simple
takes the plain way, in ``sending``, in the router and in ``checkpoint``.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from inngest_celery.store import schema
from inngest_celery.store.changes import Applied, Changes
from inngest_celery.store.database import Database
from inngest_celery.store.defers import ADD
from inngest_celery.store.direct import Statement
from inngest_celery.store.events import lifecycle_patterns
from inngest_celery.store.rows import Event, Job, JobKind, Run, RunStatus, Step
from inngest_celery.store.sealed import places_of

_DIALECT: sa.Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]


def _insert(table: sa.Table, prefix: str, source: str = "(VALUES (1)) always") -> str:
    """Insert one row from parameters, provided that ``source`` has a row."""
    columns = ", ".join(column.name for column in table.columns)
    # A bare NULL would be text to PostgreSQL here, so every parameter says its type.
    parameters = ", ".join(f"%({prefix}{column.name})s::{_type(column)}" for column in table.columns)
    # Nothing here comes from outside: table, column and parameter names are the ones in this package.
    return f"INSERT INTO {table.name} ({columns}) SELECT {parameters} FROM {source} ON CONFLICT DO NOTHING"  # noqa: S608


def _type(column: sa.Column[Any]) -> str:
    # text, never varchar(n): a cast to varchar(n) cuts what is too long, where an insertion refuses it.
    return "text" if isinstance(column.type, sa.String) else column.type.compile(_DIALECT)


_STORE = Statement(f"""
WITH stored AS (
  {_insert(schema.event, "e_")} RETURNING 1
)
{_insert(schema.job, "j_", "stored")} RETURNING 1
""")

_STORE_INDEXED = Statement(f"""
WITH stored AS (
  {_insert(schema.event, "e_")} RETURNING 1
), indexed AS (
  INSERT INTO inngest_subject (name, hash, subject_id)
  SELECT whose.name, whose.hash, %(e_id)s::text FROM stored,
    unnest(%(names)s::text[], %(hashes)s::text[]) AS whose (name, hash) ON CONFLICT DO NOTHING
)
{_insert(schema.job, "j_", "stored")} RETURNING 1
""")  # noqa: S608

# Nobody has ever waited for the event's name. Whoever does from now on finds the stored event.
# Answered before it is on disk, where it comes with the run's first checkpoint at the latest. If a power failure takes
# it back, the route job is there again, and starts the run again under the same id: as if the worker had died earlier.
_START = Statement(f"""
WITH relaxed AS (
  SELECT set_config('synchronous_commit', 'off', true) AS setting
), gone AS (
  DELETE FROM inngest_job USING relaxed
  WHERE relaxed.setting = 'off' AND subject_id = %(event)s AND key = %(key)s AND fence = %(fence)s
  AND NOT EXISTS (SELECT 1 FROM inngest_topic WHERE event_name = %(event_name)s) RETURNING 1
), started AS (
  {_insert(schema.run, "r_", "gone")} RETURNING 1
)
{_insert(schema.job, "j_", "started")} RETURNING 1
""")  # noqa: S608

# FOR SHARE holds the run against a cancellation, but not against the checkpoints of its other steps.
_NEXT = f"""
WITH live AS (
  SELECT id FROM inngest_run WHERE id = %(run)s AND status < {RunStatus.COMPLETED.value} FOR SHARE
), gone AS (
  DELETE FROM inngest_job USING live WHERE subject_id = live.id AND key = %(key)s AND fence = %(fence)s RETURNING 1
), recorded AS (
  {{record}}
), planned AS (
  {_insert(schema.job, "j_", "gone")} RETURNING 1
)
SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM planned)
"""  # noqa: S608

_END = f"""
WITH live AS (
  UPDATE inngest_run SET status = %(status)s, output = %(output)s, ended_at = %(at)s, reason = %(reason)s,
    singleton_key = NULL
  WHERE id = %(run)s AND status < {RunStatus.COMPLETED.value} AND EXISTS (
    SELECT 1 FROM inngest_job WHERE subject_id = %(run)s AND key = %(key)s AND fence = %(fence)s
  ) AND NOT EXISTS (SELECT 1 FROM inngest_wait WHERE run_id = %(run)s AND kind = '{ADD}') RETURNING id
), recorded AS (
  {{record}}
), jobs AS (
  DELETE FROM inngest_job USING live WHERE subject_id = live.id
), waits AS (
  DELETE FROM inngest_wait USING live WHERE run_id = live.id
), told AS (
  {_insert(schema.event, "e_", "live")}
), heard AS (
  SELECT 1 FROM live WHERE EXISTS (
    SELECT 1 FROM inngest_trigger t JOIN inngest_function f ON f.id = t.function_id
    WHERE t.event_name = ANY(%(patterns)s) AND f.archived_at IS NULL
  ) OR EXISTS (SELECT 1 FROM inngest_topic WHERE event_name = %(e_name)s)
), routed AS (
  {_insert(schema.job, "j_", "heard")} RETURNING 1
)
SELECT (SELECT count(*) FROM live), (SELECT count(*) FROM routed)
"""  # noqa: S608

_RECORD = _insert(schema.step, "s_", "{source}")
_NOTHING = "SELECT 1"


def _spell(text: str, source: str) -> tuple[Statement, Statement]:
    """Give the statement that records a step, and the one that does not."""
    return Statement(text.format(record=_RECORD.format(source=source))), Statement(text.format(record=_NOTHING))


_NEXT_RECORDING, _NEXT_ONLY = _spell(_NEXT, "gone")
_END_RECORDING, _END_ONLY = _spell(_END, "live")


def store_event(database: Database, event: Event, route: Job) -> None:
    """Store an event and its route job, and whose data it is, if that is declared."""
    parameters = _prefixed(database, "e_", event) | _prefixed(database, "j_", route)
    whose = database.subjects.of_event(event) if database.subjects is not None else []
    if not whose:
        _STORE.rows(database, parameters)
        return
    parameters |= {"names": [row["name"] for row in whose], "hashes": [row["hash"] for row in whose]}
    _STORE_INDEXED.rows(database, parameters)


def start_run(database: Database, route: Job, event: Event, run: Run, first: Job) -> bool:
    """End an event's route job and start a run with it.

    Args:
        route: the route job, leased to this worker.
        event: what starts the run; it has no idempotency key.
        run: the run; its id must be the same whenever this event starts this function.
        first: its first and only job.

    Returns:
        False, with nothing written, when it is not that simple: somebody has waited for such events, or the lease is
        lost.
    """
    parameters = {"event": route.subject_id, "key": route.key, "fence": route.fence, "event_name": event.name}
    return bool(_START.rows(database, parameters | _prefixed(database, "r_", run) | _prefixed(database, "j_", first)))


def fits(changes: Changes) -> bool:
    """Tell whether a checkpoint is one of the two simple ones."""
    if changes.job.kind is JobKind.TIMEOUT or changes.parallel or changes.known is not None or len(changes.steps) > 1:
        return False
    if changes.attempts or changes.waits or changes.events or changes.again or changes.costs or changes.defers:
        return False
    end = changes.end
    if end is None:
        return len(changes.jobs) == 1
    return not end.has_parent and end.deliver is None and len(end.events) == 1 and not changes.jobs


def apply(database: Database, changes: Changes) -> Applied:
    """Write a checkpoint that :func:`fits`."""
    job, end = changes.job, changes.end
    parameters: dict[str, Any] = {"run": job.subject_id, "key": job.key, "fence": job.fence}
    for step in changes.steps:
        parameters |= _prefixed(database, "s_", step)
    follower = end.routes[0] if end else changes.jobs[0]
    parameters |= _prefixed(database, "j_", follower)
    if end is not None:
        event = end.events[0]
        parameters |= {"status": end.status.value, "output": end.output, "at": end.at, "reason": end.reason}
        if database.keyring is not None and end.output is not None:
            parameters["output"] = database.keyring.seal(end.output, _OUTPUT)
        parameters |= {"patterns": lifecycle_patterns(event.name), **_prefixed(database, "e_", event)}
        statement = _END_RECORDING if changes.steps else _END_ONLY
    else:
        statement = _NEXT_RECORDING if changes.steps else _NEXT_ONLY
    [(done, inserted)] = statement.rows(database, parameters)
    if not done:
        return Applied(refused=True)
    return Applied(jobs=[follower] if inserted else [])


_KINDS: dict[str, tuple[Any, sa.Table]] = {
    "e_": (Event, schema.event),
    "j_": (Job, schema.job),
    "r_": (Run, schema.run),
    "s_": (Step, schema.step),
}
_PARAMETERS = {prefix: [prefix + name for name in kind.__slots__] for prefix, (kind, _) in _KINDS.items()}
_VALUES = {prefix: attrgetter(*kind.__slots__) for prefix, (kind, _) in _KINDS.items()}
_SEALED = {
    prefix: [(prefix + name, place) for name, place in places_of(table).items()]
    for prefix, (_, table) in _KINDS.items()
}
_OUTPUT = places_of(schema.run)["output"]


def _prefixed(database: Database, prefix: str, row: Event | Job | Run | Step) -> dict[str, Any]:
    parameters = dict(zip(_PARAMETERS[prefix], _VALUES[prefix](row), strict=True))
    if database.keyring is not None:
        for name, place in _SEALED[prefix]:
            if parameters[name] is not None:
                parameters[name] = database.keyring.seal(parameters[name], place)
    return parameters
