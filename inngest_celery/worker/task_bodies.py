"""The bodies of ordinary Celery tasks, with something of ours around them where a worker executes a message."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

Around: TypeAlias = Callable[[Callable[[], Any], Any, Any], Any]
"""Given what executes the body, and the call's arguments: gives what the task gives."""


def surround(task: Any, original: str, around: Around) -> None:
    """Have the body of a task executed by a function of ours, once for each message.

    What calls the task itself, without a message, executes the body alone. Said again for the same attribute, it takes
    the place of what was said before.

    Args:
        original: the attribute under which the task then has its body: as the class has it, or as ``autoretry_for`` has
            wrapped it, so that attempts which it plans come here, too.
    """
    execute = getattr(task, original, task.run)
    begun = f"_{original}_begun"

    @functools.wraps(execute)
    def run(*args: Any, **kwargs: Any) -> Any:
        request = task.request
        if request.called_directly or request.is_eager or hasattr(request, begun):
            return execute(*args, **kwargs)
        setattr(request, begun, True)
        return around(functools.partial(execute, *args, **kwargs), args, kwargs)

    if not hasattr(task, original):
        setattr(task, original, execute)
    task.run = run
