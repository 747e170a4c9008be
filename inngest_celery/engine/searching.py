"""Search by expression: what a page finds is what is true of ``event``, ``output`` or ``error``.

An index serves none of it, so a search looks at row after row; it is for whoever asks to bound that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from inngest_celery.engine import expressions
from inngest_celery.engine.waiting import as_variable
from inngest_celery.store.rows import Event, Run, RunStatus

T = TypeVar("T")

# A search looks at so many at the most; who wants more narrows the time.
LOOKED_AT = 10_000
_SLICE = 500
_NAMES = frozenset({"event", "output", "error"})


def condition(query: str | None) -> Callable[[Mapping[str, object]], bool] | None:
    """Compile what is searched for; ``None`` if it is nothing.

    Args:
        query: an expression over ``event``, ``output`` and ``error``; see :func:`variables_of`.

    Raises:
        ExpressionError: it cannot be read. ``code`` says why.

    Example:
        >>> holds = condition("event.data.amount > 10")
        >>> holds is not None and holds({"event": {"data": {"amount": 20}}})
        True
    """
    if not query or not query.strip():
        return None
    compiled = expressions.compile(query, names=_NAMES)

    def holds(variables: Mapping[str, object]) -> bool:
        try:
            return bool(compiled.matches(variables))
        except expressions.EvaluationError:
            return False

    return holds


def searched(read: Callable[[T | None, int], list[T]], holds: Callable[[T], bool], limit: int) -> Iterator[T]:
    """Give what holds of page after page, up to a limit.

    Args:
        read: gives so many behind one, or from the beginning.
        holds: tells whether one is wanted.
        limit: how many.
    """
    last: T | None = None
    found = 0
    for _ in range(LOOKED_AT // _SLICE):
        part = read(last, _SLICE)
        for each in part:
            if holds(each):
                yield each
                found += 1
                if found == limit:
                    return
        if len(part) < _SLICE:
            return
        last = part[-1]


def variables_of(run: Run | None, event: Event | None) -> dict[str, object]:
    """Give what an expression sees of a run and its event."""
    output = json.loads(run.output) if run is not None and run.output is not None else None
    completed = run is not None and RunStatus(run.status) is RunStatus.COMPLETED
    return {
        "event": as_variable(event) if event is not None else {},
        "output": output if completed else None,
        "error": None if completed else output,
    }
