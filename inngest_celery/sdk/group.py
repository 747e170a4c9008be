"""``ctx.group``: steps in parallel."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, cast

from inngest_celery.sdk.errors import StepInvalidError
from inngest_celery.sdk.types import T

if TYPE_CHECKING:
    from inngest_celery.sdk.client import Inngest
    from inngest_celery.sdk.session import Session


class ParallelMode(enum.Enum):
    """When the function goes on: once all steps of a group are done (``WAIT``), or after each of them (``RACE``)."""

    RACE = "race"
    WAIT = "wait"


class Group:
    """Runs steps in parallel, in an async function."""

    def __init__(self, client: Inngest, session: Session) -> None:
        self._client = client
        self._session = session

    async def parallel(
        self,
        callables: tuple[Callable[[], Awaitable[T]], ...],
        parallel_mode: ParallelMode = ParallelMode.WAIT,
    ) -> tuple[T, ...]:
        """Run branches side by side and give their results in the branches' order.

        Args:
            callables: the branches; each may call any number of steps.
            parallel_mode: ``RACE`` lets a branch go on with its next step while others are still busy.

        Example::

            mail, sms = await ctx.group.parallel((
                lambda: ctx.step.run("mail", send_mail),
                lambda: ctx.step.run("sms", send_sms),
            ))

        Mirrors https://www.inngest.com/docs/reference/python/steps/parallel
        """
        results = await self._session.parallel(_branches(callables), race=parallel_mode is ParallelMode.RACE)
        return cast("tuple[T, ...]", results)


class GroupSync:
    """Runs steps in parallel, in a function that is not async."""

    def __init__(self, client: Inngest, session: Session) -> None:
        self._client = client
        self._session = session

    def parallel(
        self,
        callables: tuple[Callable[[], T], ...],
        parallel_mode: ParallelMode = ParallelMode.WAIT,
    ) -> tuple[T, ...]:
        """Run branches side by side and give their results in the branches' order; see :meth:`Group.parallel`."""
        results = self._session.parallel_sync(_branches(callables), race=parallel_mode is ParallelMode.RACE)
        return cast("tuple[T, ...]", results)


def _branches(callables: tuple[Callable[[], T], ...]) -> tuple[Callable[[], T], ...]:
    branches = tuple(callables)
    for branch in branches:
        if not callable(branch):
            if inspect.iscoroutine(branch):
                branch.close()
            raise StepInvalidError(
                f"group.parallel takes functions, not {type(branch).__name__}; "
                'write lambda: ctx.step.run("id", ...) instead of ctx.step.run("id", ...)'
            )
    return branches
