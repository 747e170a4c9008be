"""A fiber is a function's execution that can be stopped at a step and continued with the step's result.

Coroutines do that by nature. A plain function does it on a greenlet, in the worker's own thread, so that thread-local
state (a Django connection, say) is the same inside and outside of a step.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from greenlet import getcurrent, greenlet

from inngest_celery.drivers.native.exits import ends_worker
from inngest_celery.drivers.native.loop import loop_thread, watcher
from inngest_celery.sdk.errors import Suspended

# Rounds of the loop without news after which branches that were ready to run have come to their steps.
_IDLE_ROUNDS = 4
# How long a branch that is doing something else than a step may hold up the others' plans, in seconds.
_STRAGGLER_GRACE = 0.05


@dataclass(slots=True)
class Resolution:
    """What a suspended step call gets: a value or an exception."""

    value: object = None
    error: BaseException | None = None


class Fiber(Protocol):
    """A function's execution. ``done`` says that it has ended; then ``result`` holds what it gave or raised."""

    done: bool
    result: Resolution

    def settle(self, resolutions: dict[str, Resolution]) -> None:
        """Continue with these results, by step key, until the function has ended or can go no further."""

    def close(self) -> bool:
        """Unwind a suspended function; false when it caught the suspension instead of letting it pass."""
        ...


class AsyncFiber:
    """A coroutine function on the process's loop.

    Args:
        function: the function.
        context: the context that it runs in.
        order: keys of the steps that are recorded, in the order in which they ended. Branches see them end in this
            order again, one after the other, so that what was first in a race is first in every replay.
    """

    def __init__(
        self, function: Callable[[], Awaitable[object]], context: contextvars.Context, order: Iterable[str] = ()
    ) -> None:
        self.done = False
        self.result = Resolution()
        self._thread = loop_thread()
        self._function = function
        self._context = context
        self._main: asyncio.Task[object] | None = None
        # Each task that the function has started and that still runs, with the task that started it.
        self._tasks: dict[asyncio.Task[Any], asyncio.Task[Any] | None] = {}
        self._at_step: set[asyncio.Task[Any] | None] = set()
        self._suspended: dict[str, asyncio.Future[object]] = {}
        self._unread = dict.fromkeys(order)
        self._held: dict[str, asyncio.Future[None]] = {}
        self._closing = False
        self._changes = 0
        self._branched = False
        self._changed = asyncio.Event()

    async def suspend(self, key: str) -> object:
        """Stop the calling coroutine until its step is resolved. Runs on the loop."""
        future: asyncio.Future[object] = self._thread.loop.create_future()
        self._suspended[key] = future
        task = asyncio.current_task()
        self._at_step.add(task)
        if task is not self._main:
            self._branched = True
        self._stir()
        try:
            return await future
        finally:
            self._suspended.pop(key, None)
            self._at_step.discard(task)

    async def take_turn(self, key: str) -> None:
        """Let the calling coroutine read what a recorded step gave, once those that ended before have been read.

        It need not wait for steps that no branch has come to: those are passed over when nothing else goes on.
        """
        try:
            if next(iter(self._unread), None) != key:
                self._held[key] = self._thread.loop.create_future()
                if asyncio.current_task() is not self._main:
                    self._branched = True
                self._stir()
                await self._held[key]
        finally:
            self._held.pop(key, None)
            self._unread.pop(key, None)

    async def parallel(self, branches: Sequence[Callable[[], Awaitable[object]]]) -> tuple[object, ...]:
        return tuple(await asyncio.gather(*(branch() for branch in branches)))

    def settle(self, resolutions: dict[str, Resolution]) -> None:
        self._thread.run(self._settle(resolutions))
        self._note_end()

    def close(self) -> bool:
        if self._main is None:
            return True
        self._closing = True
        if self._tasks or self._suspended:
            self._thread.run(self._unwind())
        if self.done or self._main.cancelled():
            return True
        return isinstance(self._main.exception(), Suspended)

    async def _settle(self, resolutions: dict[str, Resolution]) -> None:
        if self._main is None:
            self._context.run(watcher.set, self._watch)
            self._main = self._thread.loop.create_task(_await(self._function), context=self._context)
            self._main.add_done_callback(self._stir)
        for key, resolution in resolutions.items():
            self._resolve(key, resolution)
            if len(resolutions) > 1:
                await self._calm()
        await self._quiet()

    def _resolve(self, key: str, resolution: Resolution) -> None:
        future = self._suspended.get(key)
        if future is None or future.done():
            return
        if resolution.error is not None:
            future.set_exception(resolution.error)
        else:
            future.set_result(resolution.value)

    async def _calm(self) -> None:
        """Let the branches run until, for some rounds of the loop, nothing has happened."""
        idle = 0
        while idle < _IDLE_ROUNDS:
            before = self._changes
            await asyncio.sleep(0)
            idle = idle + 1 if before == self._changes else 0

    async def _quiet(self) -> None:
        """Wait until the function has ended, or every branch that can has come to a step."""
        assert self._main is not None
        while not self._main.done():
            before = self._changes
            if not self._open() and not self._held:
                self._changed.clear()
                await self._changed.wait()
                continue
            if self._branched:
                await self._calm()
            if self._main.done():
                return
            if self._held:
                self._release()
            elif before != self._changes:
                continue
            elif self._stragglers():
                self._changed.clear()
                try:
                    await asyncio.wait_for(self._changed.wait(), _STRAGGLER_GRACE)
                except TimeoutError:
                    return
            else:
                return

    def _release(self) -> None:
        """Give its turn to the coroutine whose step ended before those of the others."""
        key = next(key for key in self._unread if key in self._held)
        turn = self._held.pop(key)
        if not turn.done():
            turn.set_result(None)
        self._stir()

    def _open(self) -> bool:
        return any(not future.done() for future in self._suspended.values())

    def _stragglers(self) -> bool:
        """Tell whether a task is neither at a step nor waiting, as it seems, for tasks that it has started."""
        parents = set(self._tasks.values())
        return any(task not in self._at_step and task not in parents for task in self._tasks)

    def _watch(self, task: asyncio.Task[Any]) -> None:
        self._tasks[task] = asyncio.current_task(self._thread.loop)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if self._closing and not task.cancelled():
            # Seen: asyncio need not report that nobody has looked at the suspension.
            task.exception()
        self._stir()

    def _stir(self, _task: object = None) -> None:
        self._changes += 1
        self._changed.set()

    async def _unwind(self) -> None:
        assert self._main is not None
        for future in list(self._suspended.values()):
            if not future.done():
                future.set_exception(Suspended())
        await asyncio.wait([self._main], timeout=_STRAGGLER_GRACE)
        leftover = [task for task in self._tasks if not task.done()]
        for task in leftover:
            task.cancel()
        await asyncio.gather(*leftover, return_exceptions=True)

    def _note_end(self) -> None:
        if self._main is None or not self._main.done():
            return
        self.done = True
        if self._main.cancelled():
            self.result = Resolution(error=asyncio.CancelledError())
        elif (error := self._main.exception()) is not None:
            if ends_worker(error):
                raise error
            self.result = Resolution(error=error)
        else:
            self.result = Resolution(self._main.result())


async def _await(function: Callable[[], Awaitable[object]]) -> object:
    return await function()


class SyncFiber:
    """A plain function on a greenlet; branches of a parallel group are greenlets beside it."""

    def __init__(self, function: Callable[[], object], context: contextvars.Context) -> None:
        self.done = False
        self.result = Resolution()
        self._hub: greenlet | None = None
        self._suspended: dict[str, greenlet] = {}
        self._ready: deque[tuple[greenlet, Resolution]] = deque()
        self._closing = False
        self._main = greenlet(self._guard(function, self._end))
        self._main.gr_context = context
        self._ready.append((self._main, Resolution()))

    def suspend(self, key: str) -> object:
        """Stop the calling greenlet until its step is resolved."""
        if self._closing:
            raise Suspended
        self._suspended[key] = getcurrent()
        return self._switch_away()

    def parallel(self, branches: Sequence[Callable[[], object]]) -> tuple[object, ...]:
        caller = getcurrent()
        results: dict[int, Resolution] = {}

        def ended(index: int, resolution: Resolution) -> None:
            failed_before = any(result.error is not None for result in results.values())
            results[index] = resolution
            if not failed_before and (resolution.error is not None or len(results) == len(branches)):
                self._ready.append((caller, Resolution(error=resolution.error)))

        for index, branch in enumerate(branches):
            child = greenlet(self._guard(branch, partial(ended, index)))
            child.gr_context = contextvars.copy_context()
            self._ready.append((child, Resolution()))
        if branches:
            self._switch_away()
        return tuple(results[index].value for index in range(len(branches)))

    def settle(self, resolutions: dict[str, Resolution]) -> None:
        for key, resolution in resolutions.items():
            waiting = self._suspended.pop(key, None)
            if waiting is not None:
                self._ready.append((waiting, resolution))
        self._run_ready()

    def close(self) -> bool:
        # What has not begun needs no end.
        over = self.done or not _has_begun(self._main)
        self._closing = True
        begun = [fiber for fiber, _ in self._ready if _has_begun(fiber)]
        self._ready = deque((fiber, Resolution(error=Suspended())) for fiber in (*begun, *self._suspended.values()))
        self._suspended.clear()
        self._run_ready()
        return over or (self.done and isinstance(self.result.error, Suspended))

    def _run_ready(self) -> None:
        while self._ready and (self._closing or not self.done):
            fiber, resolution = self._ready.popleft()
            # Whoever suspends or ends switches back here.
            self._hub = fiber.parent = getcurrent()
            fiber.switch(resolution)

    def _switch_away(self) -> object:
        assert self._hub is not None
        resolution: Resolution = self._hub.switch()
        if resolution.error is not None:
            raise resolution.error
        return resolution.value

    def _end(self, resolution: Resolution) -> None:
        # While it is being closed, an ended function keeps the result that it ended with.
        if not self.done:
            self.done, self.result = True, resolution

    @staticmethod
    def _guard(function: Callable[[], object], ended: Callable[[Resolution], None]) -> Callable[[Resolution], None]:
        def run(_first: Resolution) -> None:
            try:
                resolution = Resolution(function())
            except BaseException as error:  # handed on whole to whoever waits for this greenlet
                if ends_worker(error):
                    raise
                resolution = Resolution(error=error)
            ended(resolution)

        return run


def _has_begun(fiber: greenlet) -> bool:
    return bool(fiber) or fiber.dead
