"""What the old code gave, beside what the function gave in its shadow: the body of the function that compares."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from celery import Celery, states
from celery.result import GroupResult, result_from_tuple

from inngest_celery.store.rows import RunStatus
from inngest_celery.worker.plain import plain
from inngest_celery.worker.runs import Runs

if TYPE_CHECKING:
    from inngest_celery.sdk.context import ContextSync
    from inngest_celery.sdk.cutover import Compare

Answer: TypeAlias = dict[str, Any]
"""``{"output": …}`` or ``{"error": …}``; of a canvas that is still at work ``{"result": …}``, where it will be."""

# With the pauses doubling from a second to ten minutes, that is some two days.
_LOOKS = 300
_FIRST_PAUSE_MS = 1000
_LONGEST_PAUSE_MS = 600_000
_MOST_DIFFERENCES = 20
_MISSING = object()


def compare(ctx: ContextSync, app: Celery, same: Compare | None) -> dict[str, object]:
    """Wait until both have answered, and compare.

    Returns:
        ``same`` (null if one gave no answer in two days), the answers (``{"output": …}`` or ``{"error": …}``), where
        they differ, and the run that was the shadow.
    """
    call = ctx.event.data
    pause = _FIRST_PAUSE_MS
    for look in range(1, _LOOKS + 1):
        found = ctx.step.run(f"look {look}", _look, app, call, same, look == _LOOKS)
        if found is not None:
            return found
        ctx.step.sleep(f"rest {look}", pause)
        pause = min(2 * pause, _LONGEST_PAUSE_MS)
    raise AssertionError("the last look gives something")


def _look(app: Celery, call: Any, same: Compare | None, last: bool) -> dict[str, object] | None:
    old = _old(app, call["old"])
    run_id, new = _new(app, str(call["begun"]))
    if old is None or new is None:
        return {"same": None, "old": old, "new": new, "run_id": run_id} if last else None
    differences = list(differing(old, new))
    if same is not None and "output" in old and "output" in new:
        verdict = bool(same(old["output"], new["output"]))
    else:
        verdict = not differences
    shown = [] if verdict else differences[:_MOST_DIFFERENCES]
    return {"same": verdict, "old": old, "new": new, "differences": shown, "run_id": run_id}


def output_answer(output: object) -> Answer:
    """Give what code gave, to be compared."""
    return {"output": plain(output, str)}


def error_answer(error: object) -> Answer:
    """Give what code raised, to be compared."""
    return {"error": {"name": type(error).__name__, "message": str(error)}}


def _old(app: Celery, told: Answer) -> Answer | None:
    """Give the answer of the old code: as it was told, or of a canvas as its result stands."""
    if "result" not in told:
        return told
    result: Any = result_from_tuple(told["result"], app=app)
    if isinstance(result, GroupResult):
        if not result.ready():
            return None
        failed = next((each for each in result.results or [] if each.failed()), None)
        return output_answer(result.join()) if failed is None else error_answer(failed.result)
    if result.state not in states.READY_STATES:
        return None
    return output_answer(result.result) if result.successful() else error_answer(result.result)


def _new(app: Celery, event_id: str) -> tuple[str | None, Answer | None]:
    """Give the run in the shadow, and its answer if it has ended."""
    run = next(iter(Runs(app).of_event(event_id)), None)
    if run is None or not run.ended:
        return None if run is None else run.id, None
    if run.status is RunStatus.COMPLETED:
        return run.id, {"output": run.output}
    error = run.output if isinstance(run.output, dict) else {}
    return run.id, {"error": {"name": error.get("name", run.status.name), "message": error.get("message", "")}}


def differing(old: object, new: object, path: str = "$") -> Iterator[dict[str, object]]:
    """Say where two JSON values differ: the path, and what stands there in the one and the other.

    Example:
        >>> list(differing({"total": 3, "lines": [1]}, {"total": 4, "lines": [1]}))
        [{'path': '$.total', 'old': 3, 'new': 4}]
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from differing(old.get(key, _MISSING), new.get(key, _MISSING), f"{path}.{key}")
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            before, after = (side[index] if index < len(side) else _MISSING for side in (old, new))
            yield from differing(before, after, f"{path}[{index}]")
    elif json.dumps(old, default=repr) != json.dumps(new, default=repr):
        sides = {"old": old, "new": new}
        yield {"path": path, **{name: value for name, value in sides.items() if value is not _MISSING}}
