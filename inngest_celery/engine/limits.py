"""How big a run may get. Beyond a limit the run fails at once, under the official error's name."""

from __future__ import annotations

from inngest_celery.engine.report import Failure, Report

STEPS = 1000
STEP_BYTES = 4 * 1024 * 1024
STATE_BYTES = 32 * 1024 * 1024


def exceeded(report: Report) -> Failure | None:
    """Tell which limit a report goes beyond, if any."""
    for outcome in report.outcomes:
        if outcome.memo is not None and len(outcome.memo) > STEP_BYTES:
            return _failure(
                "InngestErrStepOutputTooLarge",
                "output_too_large",
                f'the output of step "{outcome.name}" has {len(outcome.memo)} bytes; a step may give {STEP_BYTES}. '
                "Store the data elsewhere and return a reference to it.",
            )
    if report.size > STATE_BYTES:
        return _failure(
            "InngestErrStateOverflowed",
            "state_overflowed",
            f"the outputs of this run's steps have {report.size} bytes; a run may have {STATE_BYTES}. "
            "Store large data elsewhere and return references to it.",
        )
    if report.known + len(report.plans) > STEPS:
        return _failure(
            "InngestErrFunctionOverflowed",
            "function_overflowed",
            f"the run has more than {STEPS} steps. Do more in one step, or split the work with step.invoke.",
        )
    return None


def _failure(name: str, code: str, message: str) -> Failure:
    return Failure(name=name, message=message, code=code, retriable=False)
