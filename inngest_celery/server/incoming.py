"""An event as a client sends it: checked by the same rules as those that Python code sends, and made a row."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from inngest_celery.sdk.errors import EventInvalidError
from inngest_celery.sdk.event import Event
from inngest_celery.sdk.jsonable import encode
from inngest_celery.sdk.sending import check_events
from inngest_celery.store import rows, sent_by
from inngest_celery.store.sent_by import SentBy
from inngest_celery.trace_context import Trace, current, kept_with

# What only we write.
_OURS = "_inngest"


@dataclass(frozen=True, slots=True)
class Incoming:
    """An event that was checked.

    Attributes:
        event: what it is.
        extra: JSON text of what else it carries: ``user`` and ``v``.
    """

    event: Event
    extra: str | None

    def to_row(self, event_id: str, now: int, trace: Trace | None = None, by: SentBy | None = None) -> rows.Event:
        """Give the row to store it as.

        Args:
            event_id: its internal id.
            now: milliseconds.
            trace: where its sender says that it was. Where this process is counts more: it is further on.
            by: who the sender is, if that is known.
        """
        event, extra = self.event, sent_by.kept_with(kept_with(self.extra, current() or trace), by)
        return rows.Event(
            event_id, event.name, event.id or event_id, encode(dict(event.data)), event.ts or now, now, extra
        )


def read(given: Sequence[object]) -> list[Incoming]:
    """Check events.

    Args:
        given: parsed JSON.

    Raises:
        EventInvalidError: one cannot be taken; it says which, and why.
    """
    read = [_read(each, index) for index, each in enumerate(given)]
    check_events([each.event for each in read])
    return read


def _read(given: object, index: int) -> Incoming:
    if not isinstance(given, dict):
        raise EventInvalidError("an event is a JSON object with a name", index=index, field="")
    fields = {name: given[name] for name in ("name", "data", "id", "ts") if given.get(name) is not None}
    if not fields.get("name"):
        raise EventInvalidError("event name is empty", index=index, field="name", code="event_name_invalid")
    if isinstance(fields.get("ts"), float) and fields["ts"].is_integer():
        fields["ts"] = int(fields["ts"])
    if isinstance(fields.get("data"), dict):
        fields["data"] = {name: value for name, value in fields["data"].items() if name != _OURS}
    event = Event(**fields)
    extra: dict[str, object] = {}
    for name, kind in (("user", dict), ("v", str)):
        value = given.get(name)
        if value is not None and not isinstance(value, kind):
            raise EventInvalidError(f"must be {kind.__name__}, not {type(value).__name__}", index=index, field=name)
        if value:
            extra[name] = value
    return Incoming(event, json.dumps(extra) if extra else None)
