"""One piece of logic, for code that may await and for code that may not.

The logic is a generator that yields *effects*: calls that may give an awaitable. A runner carries them out, either
awaiting or refusing to, and sends the results back in.
"""

from __future__ import annotations

import asyncio
import functools
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


_UNAWAITABLE = "encountered async middleware in non-async context; use MiddlewareSync, or an async function"


def run_sync(work: Work[T]) -> T:
    """Carry out every effect here and now. What an effect raises is raised in the generator, where it was yielded.

    Raises:
        AsyncUnsupportedError: an effect gave an awaitable.
    """
    resume: Callable[[], Effect] = functools.partial(next, work)
    while True:
        try:
            effect = resume()
        except StopIteration as stop:
            result: T = stop.value
            return result
        try:
            answer = effect.call() if isinstance(effect, Blocking) else effect()
            refuse_awaitable(answer, _UNAWAITABLE)
        except BaseException as error:  # noqa: BLE001  raised again in the generator
            resume = functools.partial(work.throw, error)
        else:
            resume = functools.partial(work.send, answer)


async def run_async(work: Work[T]) -> T:
    """Carry out every effect, awaiting what is awaitable and leaving the event loop free of what blocks."""
    resume: Callable[[], Effect] = functools.partial(next, work)
    while True:
        try:
            effect = resume()
        except StopIteration as stop:
            result: T = stop.value
            return result
        try:
            answer = await asyncio.to_thread(effect.call) if isinstance(effect, Blocking) else await settle(effect())
        except BaseException as error:  # noqa: BLE001  raised again in the generator
            resume = functools.partial(work.throw, error)
        else:
            resume = functools.partial(work.send, answer)


async def settle(value: object) -> object:
    """Await a value if it is awaitable."""
    return await value if isinstance(value, Awaitable) else value


def refuse_awaitable(value: object, message: str) -> None:
    """Raise AsyncUnsupportedError for an awaitable, and close it so that Python does not warn of it too."""
    if inspect.isawaitable(value):
        if inspect.iscoroutine(value):
            value.close()
        raise AsyncUnsupportedError(message)


def is_async(handler: object) -> bool:
    """Tell whether a handler is a coroutine function, or an object that is called as one."""
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(getattr(handler, "__call__", None))  # noqa: B004
