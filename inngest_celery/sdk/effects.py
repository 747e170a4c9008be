"""One piece of logic, for code that may await and for code that may not.

The logic is a generator that yields *effects*: calls that may give an awaitable. A runner carries them out, either
awaiting or refusing to, and sends the results back in.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import TypeAlias

from inngest_celery.sdk.errors import AsyncUnsupportedError
from inngest_celery.sdk.types import T


@dataclass(frozen=True, slots=True)
class Blocking:
    """An effect that blocks: async code carries it out in a thread, with the caller's context variables."""

    call: Callable[[], object]


Effect: TypeAlias = Callable[[], object] | Blocking
Work: TypeAlias = Generator[Effect, object, T]


def run_sync(work: Work[T]) -> T:
    """Carry out every effect here and now.

    Raises:
        AsyncUnsupportedError: an effect gave an awaitable.
    """
    answer: object = None
    while True:
        try:
            effect = work.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result
        answer = effect.call() if isinstance(effect, Blocking) else effect()
        refuse_awaitable(answer, "encountered async middleware in non-async context; use MiddlewareSync, or async def")


async def run_async(work: Work[T]) -> T:
    """Carry out every effect, awaiting what is awaitable and leaving the event loop free of what blocks."""
    answer: object = None
    while True:
        try:
            effect = work.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result
        answer = await asyncio.to_thread(effect.call) if isinstance(effect, Blocking) else await settle(effect())


async def settle(value: object) -> object:
    """Await a value if it is awaitable."""
    return await value if isinstance(value, Awaitable) else value


def refuse_awaitable(value: object, message: str) -> None:
    """Raise AsyncUnsupportedError for an awaitable, and close it so that Python does not warn of it too."""
    if inspect.isawaitable(value):
        if inspect.iscoroutine(value):
            value.close()
        raise AsyncUnsupportedError(message)
