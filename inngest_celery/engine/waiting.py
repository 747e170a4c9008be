"""Waits: from an expression to a row that one indexed query finds, and back to a yes or no."""

from __future__ import annotations

import json
from collections.abc import Mapping

from inngest_celery.engine import expressions
from inngest_celery.opcodes import Opcode
from inngest_celery.store.events import head_of
from inngest_celery.store.rows import Event, Wait

CANCEL = "cancel"


def wait_for(
    run_id: str,
    key: str,
    name: str,
    *,
    event_name: str,
    expression: str | None,
    event: Event,
    now: int,
    expires_at: int,
    seen: int = 0,
    kind: str = Opcode.WAIT_FOR_EVENT.value,
) -> Wait:
    """Make the row of a wait: the ``event.*`` side of its expression becomes literals, one equality its anchor.

    Args:
        run_id, key, name: the step.
        event_name: the event that it waits for.
        expression: over ``event`` (the run's) and ``async`` (the one that comes).
        event: what triggered the run.
        now, expires_at: milliseconds.
        seen: how many outcomes of its run the function knew when it asked.
        kind: a wait of a step, or a cancellation.

    Raises:
        expressions.ExpressionError: the expression cannot be read.
        expressions.EvaluationError: the event's values make it too large to store.
    """
    anchor, paths, folded = "", list[str](), None
    if expression is not None:
        compiled = expressions.fold(expression, as_variable(event))
        found = expressions.anchor(compiled)
        folded = compiled.source
        if found is not None:
            anchor, paths = found.key, [found.path]
    return Wait(run_id, key, kind, name, event_name, anchor, folded, now, expires_at, paths, seen)


def matches(wait: Wait, event: Event) -> bool:
    """Tell whether an event of the right name satisfies a wait."""
    return wait.expression is None or satisfies(as_variable(event), wait)


def satisfies(variable: Mapping[str, object], wait: Wait) -> bool:
    """As :func:`matches`, for an event that is read already, by :func:`as_variable`."""
    return wait.expression is None or expressions.compile(wait.expression).matches({"async": variable})


def came_after(event: Event, other: Event) -> bool:
    """Tell whether an event came after another one, whichever is routed first; by the clocks of those who took them."""
    return (event.received_at, event.id) > (other.received_at, other.id)


def reason_of(event: Event) -> str:
    """Give the reason that a run has which an event has cancelled."""
    return f"cancelled by event {event.name} ({event.external_id})"


def anchors(paths: list[str], variable: Mapping[str, object]) -> list[str]:
    """Give the anchors that a wait on an event may have, for the paths in use."""
    keys = (expressions.anchor_key(path, variable) for path in paths)
    return [key for key in keys if key is not None]


def as_variable(event: Event) -> dict[str, object]:
    """Give an event as expressions see it."""
    return {**head_of(event), "data": json.loads(event.data)}
