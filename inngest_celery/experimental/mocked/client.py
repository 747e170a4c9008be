"""A client that sends nothing and makes no Celery tasks."""

from __future__ import annotations

from typing import Any

from inngest_celery.sdk import client
from inngest_celery.sdk.effects import Effect
from inngest_celery.sdk.event import Event, SendEventsResult
from inngest_celery.sdk.function import Function

NO_ID = "0" * 26


class Inngest(client.Inngest):
    """A client for tests: events are checked and go nowhere, and functions may be defined again."""

    def _delivery(self, events: list[Event], session: object | None) -> Effect:
        return lambda: SendEventsResult(ids=[NO_ID] * len(events))

    def _add(self, function: Function[Any]) -> None:
        self.functions[function.id] = function
