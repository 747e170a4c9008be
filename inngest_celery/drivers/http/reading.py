"""From an answer to the report that the engine decides on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from inngest_celery import ids
from inngest_celery.drivers.http.answer import Answer, failure_from
from inngest_celery.drivers.http.defers import LAZY, defers_of
from inngest_celery.drivers.http.ops import Op
from inngest_celery.drivers.http.request import DISCOVERY, Call
from inngest_celery.engine import prompts
from inngest_celery.engine.limits import size_of
from inngest_celery.engine.report import Failure, GoOn, Outcome, Plan, Report
from inngest_celery.engine.retries import is_final
from inngest_celery.opcodes import Opcode

# The id under which an SDK reports the end of the function itself.
COMPLETE = ids.hash_step_id("complete")
# From this version on an SDK may be called once for a group of parallel steps, instead of once after each.
_JOINS = 2
_PLANS = {
    "sleep": Opcode.SLEEP,
    "waitforevent": Opcode.WAIT_FOR_EVENT,
    "waitforsignal": Opcode.WAIT_FOR_SIGNAL,
    "invokefunction": Opcode.INVOKE,
    "stepplanned": Opcode.STEP_PLANNED,
    # We make these requests ourselves, as the body of a step.
    "gateway": Opcode.STEP_PLANNED,
    "aigateway": Opcode.STEP_PLANNED,
}
_GATEWAYS = {"gateway": Opcode.GATEWAY, "aigateway": Opcode.AI_GATEWAY}
_DONE = frozenset({"step", "steprun", "stepfailed", "steperror"})


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a report needs to know of a call besides the call itself. Times are milliseconds.

    Attributes:
        alone: whether no other job of the run was there when the call began.
        races: whether the job belongs to steps that race.
        started_at, ended_at: when the call began, and when its answer was there.
        task_id: the Celery task that it was made in; ``None`` if the app has reported by itself.
        carried: what the next jobs of the function keep from this one.
    """

    alone: bool
    races: bool
    started_at: int
    ended_at: int
    task_id: str | None
    carried: Mapping[str, object]


def report_of(call: Call, answer: Answer, found: Circumstances) -> Report:
    """Say what an answer tells the engine.

    Args:
        call: the call.
        answer: what came back.
        found: the circumstances.
    """
    version = call.version if answer.version is None else answer.version
    report = Report(
        failure=answer.failure,
        output=answer.output,
        known=len(call.memos),
        seen=len(call.memos),
        size=sum(size_of(memo) for memo in call.memos.values()),
        parallel=not found.alone,
        retries_call=call.step == DISCOVERY,
        keeps={**found.carried, "v": version},
    )
    # What is put off is asked for beside the steps, and holds nothing up.
    ops = [op for op in answer.ops or () if op.code not in LAZY]
    report.defers = defers_of(answer.ops or (), call.run_id, found.ended_at)
    if answer.ops is None:
        return report
    report.parallel = report.parallel or len(ops) > 1
    each = found.races or 0 <= version < _JOINS or any(op.races for op in ops)
    report.go_on = GoOn.AFTER_EACH if each else GoOn.AFTER_ALL
    for op in ops:
        _take(report, call, answer, op, found)
    report.known += sum(outcome.memo is not None for outcome in report.outcomes)
    report.size += sum(size_of(outcome.memo) for outcome in report.outcomes if outcome.memo is not None)
    if not ops and found.alone and not report.finished:
        report.failure = _nothing()
    return report


def is_of_function(op: Op) -> bool:
    """Tell whether an error is the function's own: it stands under its end's id, and under no name."""
    return op.code in ("steperror", "stepfailed") and op.id == COMPLETE and op.name == op.id


def outcomes_of(ops: Sequence[Op], now: int) -> list[Outcome] | None:
    """Give the outcomes of finished steps that an SDK reports while its call lasts; ``None`` if others are among them.

    Args:
        now: milliseconds.
    """
    found = []
    for op in ops:
        if op.code in LAZY:
            continue
        if op.code not in ("step", "steprun", "stepfailed"):
            return None
        outcome = Outcome(
            op.id, op.name, Opcode.STEP_RUN, 0, None, started_at=now, ended_at=now, asked=prompts.of_wrapped(op.opts)
        )
        failure = failure_from(op.error or {}) if op.code == "stepfailed" else None
        found.append(replace(outcome, failure=failure, memo=_memo(op, failure)))
    return found


def _memo(op: Op, failure: Failure | None) -> str:
    if failure is not None:
        return failure.to_memo()
    return op.data if op.code == "step" else f'{{"data":{op.data}}}'


def _take(report: Report, call: Call, answer: Answer, op: Op, found: Circumstances) -> None:
    if op.code in _DONE and op.id in call.memos:
        # Recorded while the call lasted, by a checkpoint whose answer did not arrive.
        return
    if is_of_function(op):
        report.failure = failure_from(op.error or {})
        gives_up = op.code == "stepfailed" or bool((op.error or {}).get("noRetry")) or answer.retriable is False
        report.failure.retriable, report.failure.retry_in = not gives_up, answer.retry_in
    elif op.code in _DONE:
        report.outcomes.append(_outcome(call, answer, op, found))
    elif op.code in _PLANS:
        report.plans.append(_plan(report, op))
    elif op.code in ("runcomplete", "syncruncomplete"):
        report.output = op.data
    elif op.code == "discoveryrequest":
        report.go_on = GoOn.AT_ONCE
    elif op.code == "stepnotfound":
        report.failure = _not_found(call)
    else:
        report.failure = Failure(
            "UnknownOperation",
            f"the SDK asks for {op.code!r}, which this server does not know. Use a version of the SDK that does not, "
            "or a newer server.",
            code="unknown_op",
            retriable=False,
        )


def _outcome(call: Call, answer: Answer, op: Op, found: Circumstances) -> Outcome:
    # A step that is executed where it is found has its own attempts; one that was found before has had some.
    outcome = Outcome(
        key=op.id,
        name=op.name,
        op=Opcode.STEP_RUN,
        attempt=call.attempt,
        memo=None,
        started_at=found.started_at,
        ended_at=found.ended_at,
        task_id=found.task_id,
        asked=prompts.of_wrapped(op.opts),
    )
    if op.code in ("step", "steprun"):
        return replace(outcome, memo=_memo(op, None))
    error = op.error or {}
    failure = failure_from(error)
    failure.retry_in = answer.retry_in
    gives_up = op.code == "stepfailed" or bool(error.get("noRetry")) or answer.retriable is False
    failure.retriable = not gives_up
    final = is_final(failure, call.attempt, call.max_attempts)
    return replace(outcome, failure=failure, memo=_memo(op, failure) if final else None)


def _plan(report: Report, op: Op) -> Plan:
    keeps = dict(report.keeps or {})
    if op.races:
        keeps["race"] = True
    if op.code in _GATEWAYS:
        keeps["gateway"] = {"op": _GATEWAYS[op.code].value, **op.opts}
    return Plan(op.id, op.name, _PLANS[op.code], dict(op.opts), keeps)


def _not_found(call: Call) -> Failure:
    return Failure(
        "StepNotFound",
        f"the function did not come to the step {call.step} again: it has changed, or is not deterministic.",
        code="step_not_found",
    )


def _nothing() -> Failure:
    return Failure(
        "NothingToDo",
        "the SDK answered with no step, and the function has no other step open. Does it await something that is no "
        "step?",
        code="nothing_to_do",
    )
