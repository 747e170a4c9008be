"""What Redis has forgotten, told anew from the database: limits, who holds places, what was spent, who waits."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING

import redis
import sqlalchemy as sa

from inngest_celery.crash import crash_point
from inngest_celery.engine import policies
from inngest_celery.engine.spec import FunctionSpec, read_spec
from inngest_celery.flow.gate import Gate, Operation
from inngest_celery.flow.places import name_of, place_of_job, run_resources
from inngest_celery.store import functions, limits
from inngest_celery.store.database import Database
from inngest_celery.store.functions import FunctionRow

if TYPE_CHECKING:
    from inngest_celery.worker.runtime import Runtime

logger = logging.getLogger(__name__)

# For how long one that restores may not be heard of. If two come to do it, it is done twice.
_RESTORING_MS = 2_000
_PATIENCE_S = 15
_LOOK_S = 0.02
_NEW_MS = 60_000
_BATCH = 500


def restore(runtime: Runtime, gate: Gate, tag: str) -> list[str]:
    """Make the limits of a tag known again. One process does it, the others wait for it.

    First who holds places, then who wants them: no limit is exceeded on the way.

    Returns:
        The jobs to send hints for.

    Raises:
        redis.RedisError: Redis does not answer, or another process has not finished in time.
    """
    if not gate.begin_restoring(tag, _RESTORING_MS):
        deadline = time.monotonic() + _PATIENCE_S
        while gate.is_restoring(tag):
            if time.monotonic() > deadline:
                raise redis.RedisError(f"the limits of {tag} are being restored, and that takes too long")
            time.sleep(_LOOK_S)
        # Known by now, or left undone by one that died: then it is asked for again.
        return []
    try:
        return _restore(runtime, gate, tag)
    finally:
        gate.end_restoring(tag)


def _restore(runtime: Runtime, gate: Gate, tag: str) -> list[str]:
    now = runtime.clock.now()
    # Before all others and in a call of its own: the gate refuses who holds a place of a limit that it does not know.
    gate.do(tag, now, definitions(runtime.database, now).get(tag, []), restoring=True)
    held, waiting = list[Operation](), list[Operation]()
    with runtime.database.autocommit() as connection:
        concerned = _functions_of(connection, tag)
        ids = [row.id for row in concerned]
        for run_id, flow in limits.started_runs(connection, ids):
            held += [["stay", run_id, resource] for resource in run_resources(flow)]
        for number, job in enumerate(limits.limited_jobs(connection, ids, now)):
            if number % _BATCH == 0:
                gate.go_on_restoring(tag, _RESTORING_MS)
            place = place_of_job(job)
            if place.tag != tag:
                continue
            if job.leased_by is not None and (job.leased_until or 0) > now:
                held.append(["hold", place.job, place.line, place.score, job.leased_by, job.leased_until])
            else:
                waiting.append(["enter", place.job, place.line, place.score, False])
        recent = any(_may_have_started_lately(connection, row, now) for row in concerned)
    for at in range(0, len(held), _BATCH):
        gate.go_on_restoring(tag, _RESTORING_MS)
        gate.do(tag, now, held[at : at + _BATCH], restoring=True)
    crash_point("restoring")
    gate.do(tag, now, [["alive", now if recent else False]], restoring=True)
    called: list[str] = []
    for at in range(0, len(waiting), _BATCH):
        called += gate.do(tag, now, waiting[at : at + _BATCH]).called
    logger.info(
        "The limits of %s were told to Redis: %d places held, %d jobs in line.",
        tag,
        len(held),
        len(waiting),
        extra={"action": "flow_restored", "tag": tag, "held": len(held), "waiting": len(waiting)},
    )
    return called


def definitions(database: Database, now: int) -> dict[str, list[Operation]]:
    """Give, by tag, what tells the gate all limits of functions: those of the code, and those that are set.

    Args:
        now: milliseconds, from before anything is read.
    """
    found: dict[str, list[Operation]] = {}
    with database.autocommit() as connection:
        specs = {row.id: read_spec(row.config) for row in functions.all_of(connection)}
        overrides: dict[str, dict[str, str]] = {}
        for each in limits.set_limits(connection, now):
            overrides.setdefault(each.function_id, {})[each.policy] = each.config
        for spec in specs.values():
            if policies.definitions(spec):
                operations = found.setdefault(policies.tag_of(spec), [])
                # All of them, so that what was taken back is forgotten too, whatever became of whoever did it.
                described = [*_described(spec), json.dumps(overrides.get(spec.id, {})), now]
                operations += [described, *_spent(connection, spec, now)]
    return found


def describe(runtime: Runtime, gate: Gate, tag: str, name: str) -> None:
    """Tell the gate the limits of one function, by its name there; none, if there is no such function any more."""
    with runtime.database.autocommit() as connection:
        rows = functions.all_of(connection)
    spec = next((read_spec(row.config) for row in rows if name_of(row.id) == name), None)
    operation = ["describe", name, "{}"] if spec is None else _described(spec)
    gate.do(tag, runtime.clock.now(), [operation])


def _described(spec: FunctionSpec) -> Operation:
    # Sorted, for the gate to see whether anything has changed.
    return ["describe", name_of(spec.id), json.dumps(policies.definitions(spec), sort_keys=True)]


def _spent(connection: sa.Connection, spec: FunctionSpec, now: int) -> list[Operation]:
    if spec.budget is None:
        return []
    # In the parts in which the gate sums up.
    width = spec.budget.period_ms // 60
    since = now - spec.budget.period_ms - width
    return [
        ["recount", name_of(budget), name_of(spec.id), str(part), amount]
        for budget, part, amount in limits.spent_by_part(connection, spec.id, since, width)
    ]


def _functions_of(connection: sa.Connection, tag: str) -> list[FunctionRow]:
    specs = [(row, read_spec(row.config)) for row in functions.all_of(connection)]
    return [row for row, spec in specs if policies.definitions(spec) and policies.tag_of(spec) == tag]


def _may_have_started_lately(connection: sa.Connection, row: FunctionRow, now: int) -> bool:
    """Tell whether a throttle may have given tokens that count still."""
    spec = read_spec(row.config)
    if spec.throttle is None:
        return False
    if spec.is_task:
        # No row says when it began. One that was registered a moment ago has not: Redis is only to learn its limits.
        return row.updated_at + _NEW_MS < now
    started_at = limits.last_start(connection, row.id)
    if started_at is None:
        return False
    full_again = spec.throttle.period_ms * (spec.throttle.limit + spec.throttle.burst) / spec.throttle.limit
    return started_at + full_again > now
