"""Task events of steps that run in place, and of runs, so that Flower shows them like every other task.

Celery's main process sends the events of tasks that come as messages; of a step that a kept run takes in place it knows
nothing. A process sends what has happened in it four times a second, as one message, and only while somebody listens
(``-E``, or Flower has switched events on). No step waits for that, nor for a broker that does not answer.
"""

from __future__ import annotations

import logging
import mmap
import os
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from celery import Celery

from inngest_celery.worker.broker import BROKER_ERRORS, producer_of

logger = logging.getLogger(__name__)

TaskEvent = tuple[str, Mapping[str, object]]

_EVERY_S = 0.25
# While the broker is away the oldest are given up.
_MOST_KEPT = 10_000
_MOST_AT_ONCE = 500


class StepEvents:
    """Sends the events of one worker's steps, from whichever process of its pool they run in.

    Args:
        hostname: the worker's node name.
        wanted: whether the worker begins with task events.

    It has to be made before the pool forks.
    """

    def __init__(self, hostname: str, *, wanted: bool) -> None:
        self._hostname = hostname
        # One byte that the children of the pool share: whether somebody listens.
        self._wanted = mmap.mmap(-1, 1)
        self._wanted[0] = wanted
        self._kept: deque[TaskEvent] = deque(maxlen=_MOST_KEPT)
        self._filled = threading.Event()
        # One at a time, so that events keep their order.
        self._sending = threading.Lock()
        self._threads: dict[int, threading.Thread] = {}

    @property
    def wanted(self) -> bool:
        return self._wanted[0] != 0

    def look_at(self, consumer: Any) -> None:
        """Note whether the worker sends task events now; a remote control command switches that at any time."""
        dispatcher = getattr(consumer, "event_dispatcher", None)
        # There is none while the worker starts or reconnects.
        if dispatcher is not None:
            self._wanted[0] = bool(dispatcher.enabled and (not dispatcher.groups or "task" in dispatcher.groups))

    def send(self, app: Celery, events: Sequence[TaskEvent]) -> None:
        """Have events sent within a moment. What a broker does not take is lost: they are for the eye."""
        now = time.time()
        self._kept.extend((kind, {**fields, "timestamp": now}) for kind, fields in events)
        self._filled.set()
        process = os.getpid()
        if process not in self._threads:
            thread = threading.Thread(target=self._run, args=(app,), name="inngest-events", daemon=True)
            # Threads of a pool may all come here first; one of them starts it.
            if self._threads.setdefault(process, thread) is thread:
                thread.start()

    def flush(self, app: Celery) -> None:
        """Send what is kept, now: the process ends."""
        with self._sending:
            while self._kept and self._send_some(app):
                pass

    def _run(self, app: Celery) -> None:
        while True:
            self._filled.wait()
            time.sleep(_EVERY_S)
            self._filled.clear()
            self.flush(app)

    def _send_some(self, app: Celery) -> bool:
        """Send the oldest events as one message; tells whether the broker took it."""
        events = [self._kept.popleft() for _ in range(min(len(self._kept), _MOST_AT_ONCE))]
        try:
            with producer_of(app) as producer:
                dispatcher = app.events.Dispatcher(
                    producer.connection,
                    self._hostname,
                    channel=producer.channel,
                    buffer_group={"task"},
                    buffer_limit=_MOST_AT_ONCE + 1,
                )
                for kind, fields in events:
                    dispatcher.send(kind, **fields)
                dispatcher.flush()
        except BROKER_ERRORS as error:
            logger.debug("Task events were not sent: %s", error, extra={"action": "events_lost"})
            return False
        return True
