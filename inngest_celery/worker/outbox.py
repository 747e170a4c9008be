"""Sending: events become rows, in the caller's own transaction if it has one, and then a hint each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from celery import Celery
from sqlalchemy.event import listen
from sqlalchemy.orm import Session, scoped_session

from inngest_celery import ids
from inngest_celery.masking import sealed
from inngest_celery.sdk.event import Event
from inngest_celery.sdk.jsonable import encode
from inngest_celery.store import events as event_rows
from inngest_celery.store import rows, sending, sent_by
from inngest_celery.store.errors import explained
from inngest_celery.store.sent_by import SentBy
from inngest_celery.trace_context import current, kept_with
from inngest_celery.worker import hints
from inngest_celery.worker.runtime import Runtime, runtime_of


@dataclass(frozen=True, slots=True)
class Enlisted:
    """A transaction that somebody else ends, and who tells when it is committed.

    Attributes:
        connection: to write on.
        when_committed: has something called once it is committed, and never if it is not.
    """

    connection: sa.Connection
    when_committed: Callable[[Callable[[], None]], object]


class Outbox:
    """Stores events and sees that they are routed."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def send(
        self,
        events: Sequence[Event],
        *,
        session: object | None = None,
        message: str | None = None,
        by: SentBy | None = None,
    ) -> list[str]:
        """Store events and have them routed.

        Args:
            events: checked events.
            session: a SQLAlchemy ``Session`` or ``Connection`` on the product's database. The events then are part of
                its transaction: sent when it commits, never sent when it rolls back.
            message: what the messages that route them carry, see ``worker.call_options``.
            by: who sends them, if that is known.

        Returns:
            The internal id of each event.

        Raises:
            SettingsError: the broker's URL, or another setting, cannot be used.
            MigrationNeeded: the database lacks our tables.
            DatabaseError: it cannot be reached.
        """
        now = self._runtime.clock.now()
        extra = sent_by.kept_with(kept_with(None, current()), by)
        with sealed.used(self._runtime.secret_keys):
            stored = [_row(event, now, ids.new(now), extra) for event in events]
        return self.store(stored, session=session, message=message)

    def store(
        self,
        stored: Sequence[rows.Event],
        *,
        session: object | None = None,
        message: str | None = None,
        may_repeat: bool = False,
        announce: bool = True,
    ) -> list[str]:
        """Store events that are rows already, and have them routed; see :meth:`send`.

        Args:
            may_repeat: whether some may be stored already, under the same ids: those are not routed again.
            announce: whether workers are told now. Else whoever stores them routes them, or a sweep finds them later.
        """
        if self._runtime.sends_hints:
            # Known before anything is stored. That the broker answers is not: the event is kept all the same.
            self._runtime.broker_transport  # noqa: B018
        for event in stored:
            self._runtime.door.event(event)
        now = self._runtime.clock.now()
        hint_ms = self._runtime.settings.hint_timeout_ms
        routes = [
            event_rows.route_job(event.id, now=now, due_at=now, sweep_at=now + hint_ms, queue=self._runtime.route_queue)
            for event in stored
        ]
        for job in routes:
            job.hints, job.message = 1, message
        if session is None:
            with explained(self._runtime.database):
                sending.store(self._runtime.database, stored, routes, may_repeat=may_repeat)
            hints.publish(self._runtime, routes if announce else [])
        else:
            self._join(session, stored, routes)
        return [event.id for event in stored]

    def _join(self, session: object, stored: Sequence[rows.Event], routes: list[rows.Job]) -> None:
        """Write in the caller's transaction; the hints go out once it has committed."""
        if isinstance(session, scoped_session):  # Flask-SQLAlchemy's ``db.session``
            session = session()
        if isinstance(session, Session):
            with explained(self._runtime.database):
                self._write(session.connection(), stored, routes)
            listen(session, "after_commit", lambda _: hints.publish(self._runtime, routes), once=True)
        elif isinstance(session, Enlisted):
            self._write(session.connection, stored, routes)
            session.when_committed(lambda: hints.publish(self._runtime, routes))
        elif isinstance(session, sa.Connection):
            # A connection does not tell when it has committed: the next sweep finds the jobs.
            for job in routes:
                job.sweep_at, job.hints = job.due_at, 0
            with explained(self._runtime.database):
                self._write(session, stored, routes)
        else:
            raise TypeError(
                f"session must be a SQLAlchemy Session or Connection, not {type(session).__name__}. "
                "Of an async one give its sync_session or sync_connection."
            )

    def _write(self, connection: sa.Connection, stored: Sequence[rows.Event], routes: Sequence[rows.Job]) -> None:
        self._runtime.database.equip(connection)
        sending.join(connection, stored, routes)


def _row(event: Event, now: int, event_id: str, extra: str | None) -> rows.Event:
    return rows.Event(event_id, event.name, event.id or event_id, encode(dict(event.data)), event.ts or now, now, extra)


def outbox(app: Celery) -> Outbox:
    """Give the outbox of a Celery app."""
    return Outbox(runtime_of(app))
