"""What a step cost: what the step itself says, or what its function's budget reads from the output."""

from __future__ import annotations

import json

from inngest_celery.engine import expressions
from inngest_celery.sdk import costs
from inngest_celery.sdk.config import Budget
from inngest_celery.sdk.errors import CostInvalidError
from inngest_celery.sdk.event import Event
from inngest_celery.sdk.jsonable import encode_output
from inngest_celery.sdk.session import StepCall

_NAMES = frozenset({"output", "event"})


def cost_of(call: StepCall, output: object, budget: Budget, event: Event) -> float | None:
    """Tell what a step cost that its body has been run for.

    Args:
        call: the step.
        output: what the body gave, before any middleware has changed it.
        budget: of the function.
        event: the run's first.

    Returns:
        The cost, or ``None`` where nothing tells one.

    Raises:
        CostInvalidError: it is no number from 0 up, or cannot be told. That fails the step for good: to run a body
            again, which may be what costs the money, would not make its cost any clearer.
        OutputUnserializableError: there is an expression over the output, and the output is no JSON.
    """
    if callable(call.cost):
        try:
            value = call.cost(output)
        except Exception as error:  # whatever the user's code raises says that there is no cost to be had
            problem = f'the cost of step "{call.step_id}" cannot be told: {type(error).__name__}: {error}'
            raise CostInvalidError(problem) from error
        return costs.amount(call.step_id, value)
    if call.cost is not None:
        return costs.amount(call.step_id, call.cost)
    if budget.cost is None:
        return None
    return _read(budget.cost, call.step_id, output, event)


def _read(expression: str, step_id: str, output: object, event: Event) -> float | None:
    variables = {
        "output": json.loads(encode_output(output, step_id)),
        "event": {"name": event.name, "id": event.id, "ts": event.ts, "data": dict(event.data), "user": {}},
    }
    try:
        value = expressions.compile(expression, names=_NAMES).evaluate(variables)
    except expressions.EvaluationError as error:
        raise CostInvalidError(f'the cost of step "{step_id}" cannot be told by {expression!r}: {error}') from error
    # Most steps are not what the budget is about: their output says nothing of costs.
    return None if value is None else costs.amount(step_id, value)
