"""The event loop of a worker process.

Celery does not run coroutines. Ours run on one loop, which lives as long as the process, so that clients and connection
pools that user code keeps on the loop stay usable from one task to the next.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Generic, TypeVar

from inngest_celery.drivers.native.exits import ends_worker

# For so long nobody runs the loop after the main thread has, in seconds: it mostly comes back at once.
_REST_S = 0.05

T = TypeVar("T")

# Told about every task that is made in its context: so a session knows what its function has started.
watcher: contextvars.ContextVar[Callable[[asyncio.Task[Any]], None] | None] = contextvars.ContextVar(
    "inngest_task_watcher", default=None
)


class LoopThread:
    """An event loop, and a daemon thread that runs it while nobody else does.

    A worker's main thread runs it itself while it waits for a coroutine: to hand that to another thread, and its result
    back, costs ten times as much as to run it. Between two of its visits the loop rests; when none has come for
    ``_REST_S``, the daemon thread goes on with it, so that whatever else user code has on it stays alive. Other threads
    have their coroutines run by that thread.
    """

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_task_factory(_watched_task)
        self.process = os.getpid()
        # Whoever holds it runs the loop.
        self._turn = threading.Lock()
        self._wanted = False
        self._visits = 0
        self._others = 0
        self._guard = threading.Lock()
        self._called = threading.Event()
        threading.Thread(target=self._keep_running, name="inngest-loop", daemon=True).start()

    def run(self, coroutine: Coroutine[Any, Any, T], context: contextvars.Context | None = None) -> T:
        """Run a coroutine on the loop and wait for it.

        Raises:
            RuntimeError: the loop itself runs what calls this, and would wait for itself for ever.
        """
        running = asyncio._get_running_loop()
        if running is self.loop:
            coroutine.close()
            raise RuntimeError(
                "An async function or step cannot wait here for another run to execute: they share one event loop. "
                "Use step.invoke, or await asyncio.to_thread(other.apply, ...)."
            )
        if running is None and threading.current_thread() is threading.main_thread():
            return self._run_here(coroutine, context)
        return self._run_there(coroutine, context)

    def _run_here(self, coroutine: Coroutine[Any, Any, T], context: contextvars.Context | None) -> T:
        self._wanted = True
        try:
            if self._turn.locked():
                self.loop.call_soon_threadsafe(self.loop.stop)
            with self._turn:
                task = self.loop.create_task(coroutine, context=context)
                task.add_done_callback(self._stop)
                try:
                    self._run_until_done(task)
                except BaseException:
                    # A time limit of Celery's, say: what it was waiting for must not go on behind its back.
                    task.cancel()
                    raise
                return task.result()
        finally:
            self._visits += 1
            self._wanted = False

    def _run_until_done(self, task: asyncio.Task[Any]) -> None:
        while not task.done():
            try:
                self.loop.run_forever()
            except (SystemExit, KeyboardInterrupt) as error:
                # Asyncio stops the loop when a task raises these. Unless it is the worker that is to end, they are that
                # task's result, whichever it is.
                if ends_worker(error) and not task.done():
                    raise

    def _stop(self, _task: asyncio.Task[Any]) -> None:
        self.loop.stop()

    def _run_there(self, coroutine: Coroutine[Any, Any, T], context: contextvars.Context | None) -> T:
        done: _Handover[T] = _Handover()
        tasks: list[asyncio.Task[T]] = []

        def begin() -> None:
            task = self.loop.create_task(coroutine, context=context)
            task.add_done_callback(done.set)
            tasks.append(task)

        with self._guard:
            self._others += 1
        self._called.set()
        self.loop.call_soon_threadsafe(begin)
        try:
            return done.wait()
        except BaseException:
            self.loop.call_soon_threadsafe(lambda: [task.cancel() for task in tasks])
            raise
        finally:
            with self._guard:
                self._others -= 1

    def _keep_running(self) -> None:
        while True:
            with self._turn:
                if not self._wanted:
                    # What a task raises to end the process is that task's result; others need the loop.
                    with suppress(SystemExit, KeyboardInterrupt):
                        self.loop.run_forever()
            self._rest()

    def _rest(self) -> None:
        """Wait until the main thread seems to have no use for the loop, or another thread has."""
        self._called.clear()
        seen = -1
        while not self._others and (self._turn.locked() or seen != self._visits):
            seen = self._visits
            self._called.wait(_REST_S)


class _Handover(Generic[T]):
    """Brings a finished task's result to the waiting thread; much cheaper than a ``concurrent.futures.Future``."""

    def __init__(self) -> None:
        self._ready = threading.Lock()
        self._ready.acquire()
        self._task: asyncio.Task[T] | None = None

    def set(self, task: asyncio.Task[T]) -> None:
        self._task = task
        self._ready.release()

    def wait(self) -> T:
        self._ready.acquire()
        if self._task is None:
            raise RuntimeError("the loop let go of a waiting thread without a task")
        return self._task.result()


def _watched_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
    context = options.get("context")
    watch = watcher.get() if context is None else context.get(watcher)
    if watch is not None:
        watch(task)
    return task


_current: LoopThread | None = None
_guard = threading.Lock()


def loop_thread() -> LoopThread:
    """Give this process's loop, made on first use (a forked child makes its own)."""
    global _current
    if _current is None or _current.process != os.getpid():
        with _guard:
            if _current is None or _current.process != os.getpid():
                _current = LoopThread()
    return _current
