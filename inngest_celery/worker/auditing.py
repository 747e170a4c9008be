"""Writing the log of what was done by whom. An action that has happened is never missing from it.

So an entry is committed before its action begins, and what has become of it is added afterwards::

    with auditing.begin(runtime, Actor("root", "command_line", "admin"), "run.cancel", run_id):
        cancel(run_id)

A process that dies in between leaves an entry without an outcome: whoever reads the log looks at the subject.
Entries say what was done to what, and never what was in it: no payloads, outputs, expressions or secrets.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from inngest_celery import ids
from inngest_celery.store import audit as rows
from inngest_celery.store.conflicts import retried
from inngest_celery.worker.runtime import Runtime

logger = logging.getLogger(__name__)

DONE: Final = "done"
_MOST_ACTOR, _MOST_ADDRESS, _MOST_SUBJECT, _MOST_OUTCOME = 100, 64, 255, 64


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something.

    Attributes:
        name: of a user or token.
        kind: how it has proved to be it, as ``session`` or ``command_line``.
        role: what it may do.
        address: where it does it from.
    """

    name: str
    kind: str
    role: str
    address: str = ""


class Entry:
    """An entry that is in the log. As a context manager it adds what becomes of the action within.

    Attributes:
        id: a ULID.
    """

    def __init__(self, runtime: Runtime, entry_id: str) -> None:
        self.id = entry_id
        self._runtime = runtime
        self._told: dict[str, object] = {}

    def tell(self, **details: object) -> None:
        """Add to the outcome what came of the action, such as the id of a new run."""
        self._told.update(details)

    def __enter__(self) -> Entry:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        outcome = DONE if error is None else str(getattr(error, "code", type(error).__name__))
        try:
            self._add(outcome)
        except SQLAlchemyError as lost:
            # The action is as it is; that it was begun stands in the log.
            logger.error("The outcome of %s is not in the log: %s", self.id, lost, extra={"action": "audit_incomplete"})

    @retried
    def _add(self, outcome: str) -> None:
        row = _outcome(self._runtime, self.id, outcome, self._told)
        with self._runtime.database.transaction() as connection:
            rows.add_outcome(connection, row, keys=self._runtime.settings.audit_keys)


def begin(
    runtime: Runtime,
    actor: Actor,
    action: str,
    subject: str = "",
    details: Mapping[str, object] | None = None,
    *,
    outcome: str | None = None,
) -> Entry:
    """Write into the log what somebody is about to do, in a transaction of its own, before it is done.

    Args:
        runtime: whose log.
        actor: who.
        action: what, as ``run.cancel``.
        subject: what it is done to: an id or a name.
        details: more about it. Never payloads.
        outcome: what has become of it, if it is only told: then the entry is complete.

    Raises:
        sqlalchemy.exc.DBAPIError: it could not be written. The action must not be carried out.
        AuditKeyMissing: the log is kept with a key that this process does not have; the same.
    """
    now = runtime.clock.now()
    row = rows.AuditRow(
        id=ids.new(now),
        at=now,
        actor=actor.name[:_MOST_ACTOR],
        kind=actor.kind,
        role=actor.role,
        address=actor.address[:_MOST_ADDRESS],
        action=action,
        subject=subject[:_MOST_SUBJECT],
        details=json.dumps(dict(details or {})),
    )
    _store(runtime, row, None if outcome is None else _outcome(runtime, row.id, outcome, {}))
    return Entry(runtime, row.id)


@retried
def _store(runtime: Runtime, row: rows.AuditRow, outcome: rows.OutcomeRow | None) -> None:
    with runtime.database.transaction() as connection:
        rows.add(connection, row, outcome, keys=runtime.settings.audit_keys)


def _outcome(runtime: Runtime, entry_id: str, outcome: str, details: Mapping[str, object]) -> rows.OutcomeRow:
    return rows.OutcomeRow(entry_id, runtime.clock.now(), outcome[:_MOST_OUTCOME], json.dumps(dict(details)))
