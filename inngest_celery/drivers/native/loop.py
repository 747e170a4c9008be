"""The event loop of a worker process.

Celery does not run coroutines. Ours run on one loop in a thread of its own, which lives as long as the process, so
that clients and connection pools that user code keeps on the loop stay usable from one task to the next.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# Told about every task that is made in its context: so a session knows what its function has started.
watcher: contextvars.ContextVar[Callable[[asyncio.Task[Any]], None] | None] = contextvars.ContextVar(
    "inngest_task_watcher", default=None
)


class LoopThread:
    """An event loop in a daemon thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_task_factory(_watched_task)
        self.process = os.getpid()
        self._thread = threading.Thread(target=self._run_forever, name="inngest-loop", daemon=True)
        self._thread.start()

    def _run_forever(self) -> None:
        while True:
            try:
                self.loop.run_forever()
            except (SystemExit, KeyboardInterrupt):
                # Raised in a task, which has it as its result; asyncio stops the loop too, but others need it.
                continue
            return

    def run(self, coroutine: Coroutine[Any, Any, T], context: contextvars.Context | None = None) -> T:
        """Run a coroutine on the loop and wait for it, from a thread that is not the loop's own.

        Raises:
            RuntimeError: it is the loop's own thread, which would wait for itself for ever.
        """
        if threading.get_ident() == self._thread.ident:
            coroutine.close()
            raise RuntimeError(
                "An async function or step cannot wait here for another run to execute: they share one event loop. "
                "Use step.invoke, or await asyncio.to_thread(other.apply, ...)."
            )
        done: _Handover[T] = _Handover()
        tasks: list[asyncio.Task[T]] = []

        def begin() -> None:
            task = self.loop.create_task(coroutine, context=context)
            task.add_done_callback(done.set)
            tasks.append(task)

        self.loop.call_soon_threadsafe(begin)
        try:
            return done.wait()
        except BaseException:
            # A time limit of Celery's hits the waiting thread: what it waits for must not go on behind its back.
            self.loop.call_soon_threadsafe(lambda: [task.cancel() for task in tasks])
            raise


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
