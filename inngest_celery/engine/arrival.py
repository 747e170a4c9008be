"""An event on its way to functions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from inngest_celery.engine.lifecycle import INVOKED
from inngest_celery.engine.waiting import as_variable
from inngest_celery.store.rows import Event


class Arrival:
    """An event that functions are to act on. Its data is read once for all of them: it may be megabytes."""

    def __init__(self, event: Event) -> None:
        self.event = event

    @cached_property
    def variable(self) -> dict[str, object]:
        """The event as expressions see it."""
        return as_variable(self.event)

    @cached_property
    def invocation(self) -> Mapping[str, Any]:
        """Who called which function, if the event is a call; else nothing."""
        data = self.variable["data"]
        found = data.get("_inngest") if self.event.name == INVOKED and isinstance(data, dict) else None
        return found if isinstance(found, dict) else {}
