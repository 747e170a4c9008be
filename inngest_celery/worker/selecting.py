"""Choosing runs and events: by what an index finds, and by an expression over each of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from inngest_celery.engine.searching import condition, variables_of
from inngest_celery.engine.viewing import Eyes
from inngest_celery.store import apps, events, functions, listing
from inngest_celery.store.listing import Order, RunFilter
from inngest_celery.store.rows import Event, Run
from inngest_celery.worker.control import FunctionNotRegisteredError
from inngest_celery.worker.runtime import Runtime

# So many runs are in memory at a time, with their outputs.
SLICE = 100


class AppNotRegisteredError(LookupError):
    """No app of this id has registered a function. ``code`` is ``app_not_found``."""

    code = "app_not_found"

    def __init__(self, app_id: str) -> None:
        super().__init__(f"No app {app_id!r} is registered. `apps list` shows all.")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which runs.

    Attributes:
        wanted: what an index finds.
        where: an expression over ``event``, ``output`` and ``error`` that is true of them; all, if empty. Every run
            that ``wanted`` lets through is looked at.
        eyes: whose they are that look: runs and events are given, and the expression sees them, as they do. If left
            out, those of somebody who may only look.

    Example: ``Selection(RunFilter(statuses=[RunStatus.FAILED]), where="error.message.contains('bank')")``
    """

    wanted: RunFilter = field(default_factory=RunFilter)
    where: str | None = None
    eyes: Eyes | None = None


@dataclass(frozen=True, slots=True)
class EventSelection:
    """Which events. Times are milliseconds, and count when an event was received.

    Attributes:
        names: only these; all, if empty.
        internal: whether those count that are made here.
        where: an expression over ``event``; all, if empty.
        eyes: whose they are that look, as of :class:`Selection`.
    """

    names: Collection[str] = ()
    since: int | None = None
    until: int | None = None
    internal: bool = False
    where: str | None = None
    eyes: Eyes | None = None


@dataclass(frozen=True, slots=True)
class Slice:
    """Some runs that were chosen.

    Attributes:
        looked_at: among how many.
        last: the last of those; the next slice begins behind it.
        events: what started the runs, by id; empty unless it was asked for.
    """

    runs: list[Run]
    looked_at: int
    last: Run
    events: dict[str, Event]


def slices(
    runtime: Runtime,
    chosen: Selection,
    order: Order | None = None,
    *,
    size: int | None = None,
    with_events: bool = False,
) -> Iterator[Slice]:
    """Give all runs that are chosen, slice by slice: two statements each, wherever in the table it is.

    Args:
        order: the newest first, if left out.
        size: how many are looked at for a slice; ``SLICE``, if left out.
        with_events: whether the events that started them are wanted, too.

    Raises:
        ExpressionError: ``where`` cannot be read. That is said before anything is looked at.
    """
    holds = condition(chosen.where)
    return _slices(runtime, chosen, order or Order(), size or SLICE, with_events or holds is not None)


def _slices(runtime: Runtime, chosen: Selection, order: Order, size: int, with_events: bool) -> Iterator[Slice]:
    holds, eyes = condition(chosen.where), chosen.eyes or runtime.eyes
    while True:
        with runtime.database.autocommit() as connection:
            found = listing.page(connection, chosen.wanted, order, size)
            wanted_events = sorted({run.event_id for run in found}) if with_events else []
            started_by = {event.id: eyes.event(event) for event in events.several(connection, wanted_events)}
        if not found:
            return
        found = [_seen(eyes, run, started_by) for run in found]
        held = [run for run in found if holds is None or holds(variables_of(run, started_by.get(run.event_id)))]
        yield Slice(held, len(found), found[-1], started_by)
        if len(found) < size:
            return
        order = Order(order.field, order.descending, listing.position(found[-1], order.field))


def _seen(eyes: Eyes, run: Run, started_by: dict[str, Event]) -> Run:
    event = started_by.get(run.event_id)
    return eyes.run(run, None if event is None else event.name)


def function_ids(runtime: Runtime, wanted: Collection[str] = (), of_apps: Collection[str] = ()) -> set[str] | None:
    """Give the functions that are meant, by their full ids and those of their apps; ``None`` if all are.

    Raises:
        FunctionNotRegisteredError: there is no function of one of these ids.
        AppNotRegisteredError: there is no app of one of these ids.
    """
    if not wanted and not of_apps:
        return None
    with runtime.database.autocommit() as connection:
        known = {row.id: row.app_id for row in functions.all_of(connection)}
        known_apps = {*known.values(), *(app.id for app in apps.all_of(connection))}
    for each in wanted:
        if each not in known:
            raise FunctionNotRegisteredError(each)
    for each in of_apps:
        if each not in known_apps:
            raise AppNotRegisteredError(each)
    return {
        each for each, app_id in known.items() if (not wanted or each in wanted) and (not of_apps or app_id in of_apps)
    }


def event_slices(
    runtime: Runtime, chosen: EventSelection, *, before: str | None = None, size: int | None = None
) -> Iterator[tuple[list[Event], int, str]]:
    """Give all events that are chosen, the newest first; each time with how many were looked at, and the last one's id.

    Args:
        before: only those that came before the one with this id.
        size: how many are looked at for a slice; ``SLICE``, if left out.

    Raises:
        ExpressionError: ``where`` cannot be read. That is said before anything is looked at.
    """
    condition(chosen.where)
    return _event_slices(runtime, chosen, before, size or SLICE)


def _event_slices(
    runtime: Runtime, chosen: EventSelection, before: str | None, size: int
) -> Iterator[tuple[list[Event], int, str]]:
    holds, eyes = condition(chosen.where), chosen.eyes or runtime.eyes
    while True:
        with runtime.database.autocommit() as connection:
            found = events.page(
                connection,
                limit=size,
                before=before,
                names=sorted(chosen.names),
                # A page leaves out the times themselves, and milliseconds are whole.
                since=None if chosen.since is None else chosen.since - 1,
                until=chosen.until,
                internal=chosen.internal,
            )
        if not found:
            return
        before = found[-1].id
        found = [eyes.event(event) for event in found]
        yield [each for each in found if holds is None or holds(variables_of(None, each))], len(found), before
        if len(found) < size:
            return
