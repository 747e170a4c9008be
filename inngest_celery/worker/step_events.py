"""Task events of steps that run in place, so that Flower shows them like every other task.

Celery's main process sends the events of tasks that come as messages; of a step that a kept run takes in place it knows
nothing. Two messages a step, and only while somebody listens (``-E``, or Flower has switched events on).
"""

from __future__ import annotations

import logging
import mmap
from collections.abc import Mapping, Sequence
from typing import Any

from celery import Celery

from inngest_celery.worker.broker import BROKER_ERRORS, producer_of

logger = logging.getLogger(__name__)

TaskEvent = tuple[str, Mapping[str, object]]


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
        """Send events as one message. What a broker does not take is lost: they are for the eye."""
        try:
            with producer_of(app) as producer:
                dispatcher = app.events.Dispatcher(
                    producer.connection, self._hostname, channel=producer.channel, buffer_group={"task"}
                )
                for kind, fields in events:
                    dispatcher.send(kind, **fields)
                dispatcher.flush()
        except BROKER_ERRORS as error:
            logger.debug("Task events were not sent: %s", error, extra={"action": "events_lost"})
