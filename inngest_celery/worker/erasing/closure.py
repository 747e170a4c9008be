"""From what is a person's to all that has come of it: runs, what they sent and called, and whom that woke."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from inngest_celery.store import events, holds, related, removing
from inngest_celery.store.rows import Event
from inngest_celery.worker import holding
from inngest_celery.worker.runtime import Runtime

_AT_ONCE = 200


@dataclass(slots=True)
class Closure:
    """All that is a person's.

    Attributes:
        events, runs: their ids.
        memos: steps of other runs that have waited for one of these runs, as run and step.
        live: runs among these that have not ended, and others whose memos are.
        pending: events that are still to be routed, or are collected for a run to be.
        held: runs that a hold keeps, with the hold.
    """

    events: set[str] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)
    memos: set[tuple[str, str]] = field(default_factory=set)
    live: set[str] = field(default_factory=set)
    pending: set[str] = field(default_factory=set)
    held: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many runs and events there are to erase."""
        return len(self.events) + len(self.runs)


def closure_of(runtime: Runtime, event_ids: Iterable[str], run_ids: Iterable[str]) -> Closure:
    """Follow events to runs and runs to events until there is nothing new; then leave out what is held."""
    found = Closure()
    new_events, new_runs, unasked = set(event_ids), set(run_ids), set[str]()
    while new_events or new_runs or unasked:
        if not (new_events or new_runs):
            # It goes through all steps: asked last, for all events at once.
            new_runs = _woken(runtime, unasked) - found.runs
            unasked = set()
            continue
        found.events |= new_events
        found.runs |= new_runs
        unasked |= new_events
        started = _of_events(runtime, new_events, found)
        made, repeated = _of_runs(runtime, new_runs, found)
        new_events, new_runs = made - found.events, (started | repeated) - found.runs
    found.memos = {(run_id, key) for run_id, key in found.memos if run_id not in found.runs}
    _note_live_parents(runtime, found)
    _hold_back(runtime, found)
    return found


def _of_events(runtime: Runtime, event_ids: set[str], found: Closure) -> set[str]:
    """Give the runs that events have started, and note which are still to start some."""
    started: set[str] = set()
    for part in parts(event_ids):
        with runtime.database.autocommit() as connection:
            come = related.of_events(connection, part)
        started |= come.runs
        found.pending |= come.pending
    return started


def _of_runs(runtime: Runtime, run_ids: set[str], found: Closure) -> tuple[set[str], set[str]]:
    """Give the events that runs have made and the runs that repeat them, and note who has waited for them."""
    made, repeated = set[str](), set[str]()
    for part in parts(run_ids):
        with runtime.database.autocommit() as connection:
            come = related.of_runs(connection, part)
        made |= come.events
        repeated |= come.repeated
        found.memos |= come.parents
        found.live |= come.live
    return made, repeated


def _woken(runtime: Runtime, event_ids: set[str]) -> set[str]:
    """Give the runs of which a wait was satisfied by one of these events: the event is in their memos."""
    wanted: dict[tuple[str, str, int], Event] = {}
    for part in parts(event_ids):
        with runtime.database.autocommit() as connection:
            several = events.several(connection, part)
            names = related.waited_for(connection, {event.name for event in several})
        wanted.update({(event.name, event.external_id, event.ts): event for event in several if event.name in names})
    if not wanted:
        return set()
    since = min(event.received_at for event in wanted.values())
    with runtime.database.autocommit() as connection:
        return {run_id for run_id, _, memo in related.memos_of_events(connection, since) if _key_of(memo) in wanted}


def _key_of(memo: str) -> tuple[object, object, object] | None:
    read = json.loads(memo)
    return (read.get("name"), read.get("id"), read.get("ts")) if isinstance(read, dict) else None


def _note_live_parents(runtime: Runtime, found: Closure) -> None:
    for part in parts({run_id for run_id, _ in found.memos}):
        with runtime.database.autocommit() as connection:
            found.live.update(related.live_of(connection, part))


def _hold_back(runtime: Runtime, found: Closure) -> None:
    """Leave out what is held: runs, the events that have started them, and those that tell of them."""
    with runtime.database.autocommit() as connection:
        active = holds.active(connection)
    if not active:
        return
    for part in parts(found.runs | {run_id for run_id, _ in found.memos}):
        with runtime.database.autocommit() as connection:
            held = holding.among(connection, active, part)
            kept = removing.started_by(connection, list(held)) if held else set[str]()
        found.held.update(held)
        found.events -= kept
        found.events -= {event_id for run_id in held for event_id in removing.told_of(run_id)}
    found.runs -= found.held.keys()
    found.live -= found.held.keys()
    found.memos = {(run_id, key) for run_id, key in found.memos if run_id not in found.held}
    found.pending &= found.events


def parts(these: Iterable[str], size: int = _AT_ONCE) -> Iterator[list[str]]:
    """Give these ids in order, so many at a time."""
    ordered = sorted(these)
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]
