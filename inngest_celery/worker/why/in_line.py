"""What is due, and may have to wait for its turn: as Redis has it, and what the database alone tells without Redis."""

from __future__ import annotations

import json

import redis
import sqlalchemy as sa

from inngest_celery.engine import policies, waiting
from inngest_celery.engine.spec import read_spec
from inngest_celery.flow.gate import Gate, Lost
from inngest_celery.flow.inspect import LimitState, Standing, State, standing_of
from inngest_celery.flow.places import place_of_job
from inngest_celery.settings import SettingsError
from inngest_celery.store import limits, schema
from inngest_celery.store.rows import Job
from inngest_celery.worker.runtime import Runtime
from inngest_celery.worker.why import message
from inngest_celery.worker.why.reason import Holder, InLine, Reason
from inngest_celery.worker.why.situation import Situation
from inngest_celery.worker.why.wording import advice_for, place_in_words

_DOCTOR = "If it stays so, run: inngest-celery doctor"


def reason_for(runtime: Runtime, situation: Situation, job: Job, now: int, timeout: float) -> Reason:
    """Say what a job that something limits waits for.

    Args:
        now: milliseconds.
        timeout: seconds to wait for the answers of workers.
    """
    try:
        standing = standing_of(runtime.admission.gate, place_of_job(job), now)
    except SettingsError as error:
        return Reason("redis_missing", str(error), "It waits until there is one.", step=job.name)
    except redis.RedisError as error:
        return _without_redis(runtime, job, now, str(error))
    except Lost:
        return Reason(
            code="limits_lost",
            text="Redis has forgotten the limits that hold for it, and nobody has told it anew yet.",
            advice=f"A worker does that within seconds. If none does, start one. {_DOCTOR}",
            step=job.name,
        )
    if standing.state is State.CALLED:
        sent_at = _called_at(runtime.admission.gate, standing)
        return message.announced(runtime, job, sent_at, standing.times, now, timeout)
    return _standing(runtime, situation, job, standing, now)


def _standing(runtime: Runtime, situation: Situation, job: Job, standing: Standing, now: int) -> Reason:
    if standing.state is State.WAITING:
        return _waiting(runtime, situation, job, standing, now)
    if standing.state is State.HELD:
        return Reason(
            code="executing",
            text=f"Worker {standing.owner} has its places, and is about to begin, or has just ended.",
            advice="Ask once more.",
            step=job.name,
            worker=standing.owner,
        )
    return Reason(
        code="not_in_line",
        text="It is due, and does not stand in line yet.",
        advice=f"A worker's sweep sees to it. {_DOCTOR}",
        step=job.name,
        next_at=job.sweep_at,
    )


def _called_at(gate: Gate, standing: Standing) -> int | None:
    """Give when its message was sent: a call is good for longer each time."""
    return None if standing.until is None else standing.until - gate.call_ms * 2 ** min(standing.times - 1, 6)


def _waiting(runtime: Runtime, situation: Situation, job: Job, standing: Standing, now: int) -> Reason:
    state = next((need for need in standing.needs if need.resource == standing.resource), None)
    if state is None or state.limit is None:
        return Reason(
            code="not_in_line",
            text="It stands in line, and its turn is just being looked at.",
            advice=f"Ask once more. {_DOCTOR}",
            step=job.name,
        )
    found = _in_line(runtime, situation, state, standing)
    return Reason(
        code="in_line",
        text=place_in_words(found, now),
        advice=advice_for(job.function_id, found),
        step=job.name,
        next_at=_next_at(found, state),
        in_line=found,
    )


def _in_line(runtime: Runtime, situation: Situation, state: LimitState, standing: Standing) -> InLine:
    assert state.limit is not None
    key, value = None, None
    if situation.function is not None and situation.event is not None:
        key = policies.key_of(read_spec(situation.function.config), state.policy)
        if key is not None:
            variables = {"event": waiting.as_variable(situation.event)}
            value = json.dumps(policies.value_of(key, variables), default=str, ensure_ascii=False)
    override = situation.set_limits.get(state.policy)
    return InLine(
        policy=state.policy,
        key=key,
        value=value,
        limit={name: number for name, number in state.limit.items() if name in ("limit", "period", "burst")},
        taken=state.taken,
        holders=_holders(runtime, state),
        jobs_before=standing.all_before,
        keys_before=standing.turn,
        is_set=override is not None,
        set_until=None if override is None else override.expires_at,
    )


def _holders(runtime: Runtime, state: LimitState) -> list[Holder]:
    if state.policy.startswith("run_concurrency"):
        return [Holder(run_id) for run_id in state.holders]
    named = [(run_id, key) for run_id, _, key in (name.partition("/") for name in state.holders)]
    with runtime.database.autocommit() as connection:
        names = {(job.subject_id, job.key): job.name for job in limits.find_jobs(connection, named)}
    return [Holder(run_id, names.get((run_id, key), "")) for run_id, key in named]


def _next_at(found: InLine, state: LimitState) -> int | None:
    if state.next_at is None or found.policy not in ("throttle", policies.BUDGET):
        return None
    if found.policy == "throttle" and found.limit["limit"]:
        return state.next_at + round(found.jobs_before * found.limit["period"] / found.limit["limit"])
    return state.next_at


def _without_redis(runtime: Runtime, job: Job, now: int, error: str) -> Reason:
    with runtime.database.autocommit() as connection:
        due, taken = _counted(connection, job.function_id, now)
    needs = json.loads(job.flow or "{}")
    named = ", ".join(policy for policy, _ in [*needs.get("steps", []), *needs.get("starts", [])])
    return Reason(
        code="redis_unreachable",
        text=f"Redis, which keeps its limits ({named}), does not answer: {error}. In the database, {taken} job(s) of "
        f"the function are in the hands of workers, and {due} are due and are not.",
        advice="Bring Redis back; the limits are restored from the database, and all goes on by itself.",
        step=job.name,
    )


def _counted(connection: sa.Connection, function_id: str, now: int) -> tuple[int, int]:
    """Count a function's limited jobs that are due and in nobody's hands, and those that are in somebody's."""
    job = schema.job
    held = sa.case((job.c.leased_until > now, 1), else_=0)
    query = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(held), 0)).where(
        job.c.function_id == function_id, job.c.flow.is_not(None), job.c.due_at <= now
    )
    total, taken = connection.execute(query).one()
    return int(total) - int(taken), int(taken)
