"""The plan of an erasure: whether it may be carried out, and its rows."""

from __future__ import annotations

from collections.abc import Sequence

from inngest_celery import ids
from inngest_celery.crash import crash_point
from inngest_celery.store import erasures, events
from inngest_celery.store.conflicts import retried
from inngest_celery.store.erasures import EVENT, HELD, MEMO, RUN, Erasure, Item
from inngest_celery.worker.erasing.asking import Asked, Show, seeds
from inngest_celery.worker.erasing.closure import Closure, closure_of
from inngest_celery.worker.runtime import Runtime

# From so many runs and events on, the number has to be confirmed.
MANY = 10_000
_FEW = 10
_AT_ONCE = 500


class ErasureError(RuntimeError):
    """An erasure cannot be carried out, and nothing was erased. ``code`` says why.

    ``erasure_live_runs``: some of it has not ended. ``confirmation_needed``: it is so much that the number has to be
    confirmed. ``erasure_not_found``: there is none of that id. ``erasure_overtaken``: another one of the
    same is being planned. ``erasure_unfinished``: it waits for something, and some
    of it may be erased; it can be resumed.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def find(runtime: Runtime, asked: Asked, show: Show) -> Closure:
    """Find all that is meant, and write nothing."""
    return closure_of(runtime, *seeds(runtime, asked, show))


def check(runtime: Runtime, found: Closure, *, cancels: bool, confirmed: int | None) -> None:
    """Refuse what is not to be done without being asked for once more.

    Raises:
        ErasureError: some of it has not ended, or it is very much and nobody has confirmed how much.
    """
    open_ones = len(found.live) + len(found.pending)
    if open_ones and not cancels:
        raise ErasureError(
            "erasure_live_runs",
            f"{len(found.live)} run(s) have not ended, and {len(found.pending)} event(s) are still to start some. Wait "
            "for them, or give --cancel: they are cancelled first. Nothing was erased.",
        )
    if confirmed is not None and confirmed != found.size:
        raise ErasureError(
            "confirmation_needed",
            f"It would be {found.size} runs and events, and {confirmed} were confirmed. Nothing was erased.",
        )
    if confirmed is None and is_much(runtime, found):
        raise ErasureError(
            "confirmation_needed",
            f"That is {found.size} runs and events: very many, or all that there are. If they are meant, give "
            f"--confirm-count {found.size}. Nothing was erased.",
        )


def is_much(runtime: Runtime, found: Closure) -> bool:
    """Tell whether it is very much, or all events that were sent here."""
    if found.size >= MANY:
        return True
    if len(found.events) < _FEW:
        return False
    with runtime.database.autocommit() as connection:
        return events.count(connection, internal=True) <= len(found.events)


def unfinished(runtime: Runtime, asked: Asked) -> Erasure | None:
    """Give the erasure of the same request that was begun and has not ended, if there is one."""
    with runtime.database.autocommit() as connection:
        return erasures.unfinished(connection, asked.hash(runtime.settings))


def get(runtime: Runtime, erasure_id: str) -> Erasure:
    """Give an erasure.

    Raises:
        ErasureError: there is none of this id, or its plan was not complete.
    """
    with runtime.database.autocommit() as connection:
        found = erasures.get(connection, erasure_id)
    if found is None or found.planned_at is None:
        raise ErasureError("erasure_not_found", f"There is no erasure {erasure_id!r}, or it was never begun.")
    return found


def store(runtime: Runtime, asked: Asked, found: Closure, *, redacts: bool, cancels: bool, by: str) -> Erasure:
    """Store a plan. Until its last row is there, it is none: one that dies here has erased nothing."""
    now = runtime.clock.now()
    mode = "redact" if redacts else "erase"
    made = Erasure(ids.new(now), asked.hash(runtime.settings), mode, cancels, by[:100], now)
    with runtime.database.transaction() as connection:
        erasures.discard(connection, made.asked)
        erasures.insert(connection, made)
    add(runtime, made.id, items_of(found))
    with runtime.database.transaction() as connection:
        if not erasures.planned(connection, made.id, now):
            told = "Somebody else has begun the same at this moment, and nothing was erased. Give the command again."
            raise ErasureError("erasure_overtaken", told)
    made.planned_at = now
    return made


def add(runtime: Runtime, erasure_id: str, items: Sequence[Item]) -> None:
    """Add to a plan what is not in it, some at a time."""
    for start in range(0, len(items), _AT_ONCE):
        _add(runtime, erasure_id, items[start : start + _AT_ONCE])
        crash_point("erasure_planning")


@retried
def _add(runtime: Runtime, erasure_id: str, items: Sequence[Item]) -> None:
    with runtime.database.transaction() as connection:
        erasures.add_items(connection, erasure_id, items)


def items_of(found: Closure) -> list[Item]:
    """Give the rows of a plan."""
    return [
        *(Item(RUN, each) for each in sorted(found.runs)),
        *(Item(EVENT, each) for each in sorted(found.events)),
        *(Item(MEMO, run_id, key) for run_id, key in sorted(found.memos)),
        *(Item(HELD, each) for each in sorted(found.held)),
    ]
