"""Functions that are steps when a run calls them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from inngest_celery.sdk.context import current_step

if TYPE_CHECKING:
    from inngest_celery.sdk.step import Step, StepSync

_Params = ParamSpec("_Params")
_Return = TypeVar("_Return")


def get_step_context() -> Step | StepSync:
    """Give the ``step`` of the run that the current code belongs to.

    Raises:
        LookupError: it belongs to none.
    """
    return current_step.get()


@contextmanager
def set_step_context(step: Step | StepSync) -> Generator[None, None, None]:
    """Make ``step`` the one that :func:`get_step_context` gives. A run does so by itself.

    Raises:
        Exception: there is one already.
    """
    if current_step.get(None) is not None:
        raise Exception("Step context already set")
    token = current_step.set(step)
    try:
        yield
    finally:
        current_step.reset(token)


def step(step_id: str) -> Callable[[Callable[_Params, _Return]], Callable[_Params, _Return]]:
    """Make a step of every call to the function below, when a run calls it. Otherwise it is an ordinary function.

    Args:
        step_id: the step's id.

    Example:
        >>> @step("add")
        ... def add(first: int, second: int) -> int:
        ...     return first + second
        >>> add(1, second=2)
        3
    """

    def decorate(function: Callable[_Params, _Return]) -> Callable[_Params, _Return]:
        @functools.wraps(function)
        def call(*args: _Params.args, **kwargs: _Params.kwargs) -> _Return:
            current: Any = current_step.get(None)
            if current is None:
                return function(*args, **kwargs)
            return cast(_Return, current.run(step_id, functools.partial(function, *args, **kwargs)))

        return call

    return decorate
