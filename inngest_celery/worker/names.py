"""The names under which logs, Flower and its metrics show tasks: few of them, whatever a step's id has in it.

A name is a label of Flower's metrics, and each label is kept for ever. Ids that come from data (``charge-8213``) are
left out of it; they stand in the task's arguments.
"""

from __future__ import annotations

import re

from inngest_celery.store.functions import CALL_TASK

# So many names of steps a function may have in one process. One that has more makes them of its data.
MOST = 100
_ELSE = "…"

_IDS = re.compile(
    r"""
      [0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}      # a UUID
    | [^\s@:/]+@[^\s@:/]+\.[A-Za-z]+                            # an e-mail address
    | (?<![^\W_])(?=[^\W_]*\d)(?=[^\W_]*[A-Za-z])[^\W_]{8,}     # cus9s6XKzkNRiz8i3, 01JD…, a hash; not s3 or oauth2
    | \d{2,}                                                    # 8213; a single digit makes no more than ten names
    """,
    re.VERBOSE,
)

_seen: dict[str, set[str]] = {}


def owner_name(function_id: str, task_name: str) -> str:
    """Give the name to show for a function: its task's, unless that is the one of all that are called over the wire."""
    return function_id if task_name == CALL_TASK else task_name


def step_name(owner: str, step: str) -> str:
    """Give the name to show for a step of a function.

    Args:
        owner: the function's name.
        step: the step's, as the function gave it.

    Example:
        >>> step_name("shop/pay", "charge-8213"), step_name("shop/pay", "upload to s3 [2/3]")
        ('shop/pay · charge-…', 'shop/pay · upload to s3 [2/3]')
    """
    short = _IDS.sub(_ELSE, step)
    seen = _seen.setdefault(owner, set())
    if short not in seen:
        if len(seen) >= MOST:
            short = _ELSE
        else:
            # Of two threads both may find room: one name more does no harm.
            seen.add(short)
    return f"{owner} · {short}"


def shown_arguments(run_id: str, step: str) -> dict[str, str]:
    """Give what Flower is to show as a task's arguments: the run to search for, and the step's whole name."""
    return {"run": run_id, "step": step} if step else {"run": run_id}
