"""How a run ended, and what would make it end otherwise."""

from __future__ import annotations

from inngest_celery.engine import skipping
from inngest_celery.store.rows import RunStatus
from inngest_celery.worker.runs import RunInfo
from inngest_celery.worker.why.reason import Reason

_AGAIN = "An ended run stays as it is. Send its event again for another one."


def reason_for(run: RunInfo) -> Reason:
    """Say how a run ended."""
    if run.status is RunStatus.FAILED:
        return _failed(run)
    if run.status is RunStatus.CANCELLED:
        return Reason("cancelled", f"It was cancelled: {run.reason or 'no reason is noted'}.", _AGAIN)
    if run.status is RunStatus.SKIPPED:
        text, advice = _skipped(run)
        return Reason("skipped", f"It was skipped: {text}.", advice)
    return Reason("completed", "It has ended, and waits for nothing.", _AGAIN)


def _failed(run: RunInfo) -> Reason:
    error = run.output if isinstance(run.output, dict) else {}
    advice = f"Correct the cause. `inngest-celery runs show {run.id}` has all attempts. {_AGAIN}"
    if error.get("code") == "budget_exceeded":
        advice = f"Raise it: inngest-celery limits set {run.function_id} budget --limit N. {_AGAIN}"
    return Reason("failed", f"It failed: {error.get('name')}: {error.get('message')}", advice)


def _skipped(run: RunInfo) -> tuple[str, str]:
    reason = run.reason or ""
    resume = f"Let the function start runs: inngest-celery functions resume {run.function_id}. {_AGAIN}"
    known = {
        skipping.PAUSED.reason: ("the function was paused", resume),
        skipping.DRAINED.reason: ("the function was being drained", resume),
        skipping.RATE_LIMITED.reason: (
            "the function's rate limit was reached",
            f"Raise it: inngest-celery limits set {run.function_id} rate_limit --limit N. "
            "A throttle would let runs wait instead.",
        ),
    }
    if reason in known:
        return known[reason]
    kind, _, detail = reason.partition(": ")
    advice = {
        "Singleton": "Wait for that run, or cancel it; mode 'cancel' of the singleton lets a new run take its place.",
        "Idempotency": "The same starts one run in 24 hours. Send another event id, or another value of the key.",
        "Debounced": "See the run of that event.",
    }.get(kind, _AGAIN)
    return (f"{kind.lower()}: {detail}" if detail else reason or "no reason is noted"), advice
