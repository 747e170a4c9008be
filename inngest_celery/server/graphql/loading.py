"""What one request has read: whatever many of its answers need is read once for all of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from strawberry.types import Info

from inngest_celery import ids
from inngest_celery.server.state import Server
from inngest_celery.server.viewing import eyes_of
from inngest_celery.store import apps, details, events, functions, listing, runs
from inngest_celery.store.apps import AppRow
from inngest_celery.store.details import Details
from inngest_celery.store.functions import FunctionRow
from inngest_celery.store.rows import Event, Run


class Loader:
    """Reads for one request.

    Args:
        server: where.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        # Whatever it gives is as whoever asks may see it.
        self.eyes = eyes_of(server)
        self._siblings: dict[str, tuple[str, ...]] = {}
        self._details: dict[str, Details] = {}
        self._events: dict[str, Event] = {}
        self._wanted_events: set[str] = set()
        self._starters: dict[str, list[str]] = {}

    @property
    def now(self) -> int:
        return self.server.runtime.clock.now()

    @cached_property
    def functions(self) -> dict[str, FunctionRow]:
        """All functions, by id. There are hundreds, not millions."""
        with self.server.runtime.database.autocommit() as connection:
            return {row.id: row for row in functions.all_of(connection)}

    @cached_property
    def function_ids(self) -> dict[str, str]:
        """The ids of functions by the UUIDs that stand for them."""
        return {ids.function_uuid(function_id): function_id for function_id in self.functions}

    @cached_property
    def apps(self) -> dict[str, AppRow]:
        """All apps that are called over the wire, and those in Python code, by id."""
        with self.server.runtime.database.autocommit() as connection:
            known = {app.id: app for app in apps.all_of(connection)}
        for row in self.functions.values():
            known.setdefault(
                row.app_id, AppRow(row.app_id, "", apps.SERVE, apps.PYTHON, "", row.updated_at, row.updated_at)
            )
        return known

    def together(self, found: Sequence[Run]) -> None:
        """Note runs that are asked about together."""
        group = tuple(run.id for run in found)
        self._siblings.update(dict.fromkeys(group, group))
        self._wanted_events.update(run.event_id for run in found)

    def details(self, run_id: str) -> Details:
        """Give what happened in a run, read for all runs that are asked about together."""
        if run_id not in self._details:
            group = self._siblings.get(run_id, (run_id,))
            with self.server.runtime.database.autocommit() as connection:
                found = details.of_runs(connection, group)
            self._details.update({each: self.eyes.details(part, None) for each, part in found.items()})
        return self._details[run_id]

    def event_ids(self, run: Run) -> list[str]:
        """Give the ids of the events that started a run."""
        if not run.batch:
            return [run.event_id]
        if run.id not in self._starters:
            group = self._siblings.get(run.id, (run.id,))
            with self.server.runtime.database.autocommit() as connection:
                self._starters.update({each: [] for each in group} | listing.starters(connection, group))
        return self._starters[run.id] or [run.event_id]

    def event(self, event_id: str, among: Iterable[str] = ()) -> Event | None:
        """Give an event, read together with others that will be asked for."""
        if event_id not in self._events:
            wanted = {event_id, *among, *self._wanted_events} - self._events.keys()
            self._wanted_events.clear()
            with self.server.runtime.database.autocommit() as connection:
                self._events.update(
                    {event.id: self.eyes.event(event) for event in events.several(connection, sorted(wanted))}
                )
        return self._events.get(event_id)

    def run(self, run_id: str) -> Run | None:
        with self.server.runtime.database.autocommit() as connection:
            run = runs.get(connection, run_id)
        return None if run is None else self.eyes.run(run)

    def seen(self, found: Sequence[Run]) -> list[Run]:
        """Give runs that were read otherwise as they may be seen."""
        return [self.eyes.run(run) for run in found]


def loader_of(info: Info[Any, Any]) -> Loader:
    """Give the loader of a request."""
    loader: Loader = info.context["loader"]
    return loader


def config_of(row: FunctionRow) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(row.config)
    return config
