"""What a worker's main process has to do in the database, and Celery's event loop must not wait for."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from inngest_celery.worker.broker import BROKER_ERRORS

logger = logging.getLogger(__name__)

Chore = Callable[[], None]

_MOST_TRIES = 100
_SOON_S = 0.05
_LATER_S = 1.0


class NotYet(Exception):
    """A chore cannot be done yet; it is tried again soon."""


class Chores:
    """Does one thing after the other, in a thread of its own.

    Args:
        lock: held meanwhile: no child of the pool may begin while a chore holds locks that nobody would release there.
    """

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._queue: queue.SimpleQueue[tuple[Chore, int] | None] = queue.SimpleQueue()
        self._pause = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="inngest-chores", daemon=True)
        self._thread.start()

    def add(self, chore: Chore) -> None:
        """Have something done soon. It may come to nothing: whatever a chore speeds up happens without it, too."""
        self._queue.put((chore, 0))

    def stop(self, timeout: float) -> None:
        """Do what there is to do, and end; wait for that so many seconds."""
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        ends = False
        while not (ends and self._queue.empty()):
            wanted = self._queue.get()
            if wanted is None:
                ends = True
                continue
            chore, tries = wanted
            again_in = self._do(chore)
            if again_in is not None and tries < _MOST_TRIES:
                self._pause.wait(again_in)
                self._queue.put((chore, tries + 1))

    def _do(self, chore: Chore) -> float | None:
        """Do it; give after how many seconds to try it again, if it was in vain."""
        try:
            with self._lock:
                chore()
        except NotYet:
            return _SOON_S
        except (SQLAlchemyError, *BROKER_ERRORS) as error:
            logger.warning("Will be tried again: %s", error, extra={"action": "chore_failed"})
            return _LATER_S
        return None
