"""Transactional steps whose bodies use Django's models."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, ParamSpec, TypeVar, overload

from inngest_celery.django.transactions import DjangoOpener
from inngest_celery.sdk.calls import is_async
from inngest_celery.sdk.errors import StepInvalidError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

P = ParamSpec("P")
T = TypeVar("T")


class AtomicStep(Generic[P, T]):
    """What :func:`atomic_step` makes: to be given to ``step.transaction``."""

    def __init__(self, function: Callable[P, T], using: str) -> None:
        if is_async(function):
            raise StepInvalidError(
                f"{function!r} is async, and Django's transactions are not: give atomic_step a plain def"
            )
        functools.update_wrapper(self, function)
        self.function = function
        self.inngest_opener = DjangoOpener(using)

    def __call__(self, _session: Session | None, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.function(*args, **kwargs)


@overload
def atomic_step(function: Callable[P, T], /, *, using: str = "default") -> AtomicStep[P, T]: ...
@overload
def atomic_step(*, using: str = "default") -> Callable[[Callable[P, T]], AtomicStep[P, T]]: ...
def atomic_step(
    function: Callable[P, T] | None = None, /, *, using: str = "default"
) -> AtomicStep[P, T] | Callable[[Callable[P, T]], AtomicStep[P, T]]:
    """Make a function the body of a transactional step that uses Django's own connection.

    What it does with models is committed together with the step's result, or not at all. It runs in
    ``transaction.atomic``; it may use ``atomic`` itself, and :func:`inngest_celery.django.send`.

    Args:
        function: a plain function; it gets the arguments of ``step.transaction``, and no session.
        using: the database, which has to be the one that runs are kept in.

    Raises:
        StepInvalidError: the function is async.

    Example::

        @atomic_step
        def reserve(order_id: int) -> int:
            return Stock.objects.filter(order=order_id).update(reserved=True)

        ctx.step.transaction("reserve", reserve, 7)
    """
    if function is None:
        return functools.partial(AtomicStep[P, T], using=using)
    return AtomicStep(function, using)
