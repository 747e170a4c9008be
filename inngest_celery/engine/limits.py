"""How big a run may get. Beyond a limit the run fails at once, under the official error's name."""

from __future__ import annotations

from inngest_celery.engine.durations import parse_duration
from inngest_celery.engine.report import Failure, Outcome, Plan, Report

STEPS = 1000
STEP_BYTES = 4 * 1024 * 1024
STATE_BYTES = 32 * 1024 * 1024
LONGEST_MS = 366 * 86_400_000


def size_of(text: str) -> int:
    """Give how many bytes a text takes.

    Example:
        >>> size_of("a"), size_of("ä")
        (1, 2)
    """
    return len(text) if text.isascii() else len(text.encode())


def too_large(outcome: Outcome) -> bool:
    """Tell whether a step gave more than may be stored."""
    return outcome.memo is not None and size_of(outcome.memo) > STEP_BYTES


def exceeded(report: Report, now: int) -> Failure | None:
    """Tell which limit a report goes beyond, if any; ``now`` in milliseconds."""
    for outcome in report.outcomes:
        if too_large(outcome):
            return _output_failure(f'step "{outcome.name}"', outcome.memo or "")
    if report.output is not None and size_of(report.output) > STEP_BYTES:
        return _output_failure("the function", report.output)
    if report.size > STATE_BYTES:
        return _failure(
            "InngestErrStateOverflowed",
            "state_overflowed",
            f"the outputs of this run's steps have {report.size} bytes; a run may have {STATE_BYTES}. "
            "Store large data elsewhere and return references to it.",
        )
    too_long = next((plan for plan in report.plans if _length(plan, now) > LONGEST_MS), None)
    if too_long is not None:
        return _failure(
            "InngestErrTimeoutTooLong",
            "timeout_too_long",
            f'step "{too_long.name}" would last longer than 366 days; sleep or wait several times instead.',
        )
    if report.known + len(report.plans) > STEPS:
        return _failure(
            "InngestErrFunctionOverflowed",
            "function_overflowed",
            f"the run has more than {STEPS} steps. Do more in one step, or split the work with step.invoke.",
        )
    return None


def _length(plan: Plan, now: int) -> int:
    """Give how long a step may take that waits for time to pass, in milliseconds."""
    until = plan.opts.get("until")
    if isinstance(until, int):
        return until - now
    length = plan.opts.get("duration") or plan.opts.get("timeout")
    return parse_duration(str(length)) if length else 0


def _output_failure(subject: str, output: str) -> Failure:
    return _failure(
        "InngestErrStepOutputTooLarge",
        "output_too_large",
        f"the output of {subject} has {size_of(output)} bytes; it may have {STEP_BYTES}. "
        "Store the data elsewhere and return a reference to it.",
    )


def _failure(name: str, code: str, message: str) -> Failure:
    return Failure(name=name, message=message, code=code, retriable=False)
