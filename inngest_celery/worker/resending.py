"""Sending an event again: a new one with what the old one said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from inngest_celery import ids
from inngest_celery.store import events, sent_by
from inngest_celery.store.sent_by import SentBy
from inngest_celery.worker.outbox import Outbox
from inngest_celery.worker.runtime import Runtime

_OURS = "inngest/"


class EventNotFoundError(LookupError):
    """There is no such event. ``code`` is ``event_not_found``."""

    code = "event_not_found"

    def __init__(self, event_id: str) -> None:
        super().__init__(f"There is no event {event_id!r}. Give the id that it is stored under, as `events list` does.")


class EventInternalError(ValueError):
    """An event that is made here cannot be sent again. ``code`` is ``event_internal``."""

    code = "event_internal"

    def __init__(self, event_id: str, name: str) -> None:
        super().__init__(
            f"The event {event_id} is {name}, which is made here and not sent. Run its run again instead: `runs rerun`."
        )


def resend(runtime: Runtime, event_ids: Sequence[str], by: SentBy | None = None) -> list[str]:
    """Send events again, all of them or none: under new ids, happening now.

    Args:
        by: who does it, if that is known.

    Returns:
        The ids of the new events.

    Raises:
        EventNotFoundError: there is no event of one of these ids.
        EventInternalError: one of them is made here.
    """
    with runtime.database.autocommit() as connection:
        found = {event.id: event for event in events.several(connection, event_ids)}
    now = runtime.clock.now()
    again = []
    for event_id in event_ids:
        if event_id not in found:
            raise EventNotFoundError(event_id)
        event = found[event_id]
        if event.name.startswith(_OURS):
            raise EventInternalError(event_id, event.name)
        new_id = ids.new(now)
        extra = sent_by.kept_with(event.extra, by)
        again.append(replace(event, id=new_id, external_id=new_id, ts=now, received_at=now, extra=extra))
    return Outbox(runtime).store(again)
