"""The log of what was done by whom: rows are added, never changed, and chained (see ``audit_chain``).

What somebody is about to do is one row, written before it is done; what has become of it is another. An entry without
an outcome may have been carried out or not: its process ended in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from inngest_celery.crash import crash_point
from inngest_celery.store import audit_chain, schema
from inngest_celery.store.audit_chain import LinkKind


@dataclass(frozen=True, slots=True)
class AuditRow:
    """What somebody is about to do. Times are milliseconds.

    Attributes:
        id: a ULID of the time.
        actor: the name of a user or token.
        kind: how the actor proved to be it.
        role: what it was allowed then.
        address: where the request came from.
        action: as ``run.cancel``.
        subject: what it is done to.
        details: JSON object; never a payload.
    """

    id: str
    at: int
    actor: str
    kind: str
    role: str
    address: str
    action: str
    subject: str
    details: str


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """What has become of it.

    Attributes:
        id: the entry's.
        outcome: ``done``, or the code of the error.
        details: JSON object.
    """

    id: str
    at: int
    outcome: str
    details: str


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries are wanted: those that have these very values, where any are given."""

    actor: str | None = None
    action: str | None = None
    subject: str | None = None


def add(
    connection: sa.Connection, row: AuditRow, outcome: OutcomeRow | None = None, *, keys: Sequence[str] = ()
) -> None:
    """Add an entry, with its outcome if that is known. Until the transaction ends nobody else can add one.

    Args:
        keys: of the chain, see :func:`~inngest_celery.store.audit_chain.append`.

    Raises:
        AuditKeyMissing: the chain is kept with a key, and none is given.
    """
    connection.execute(sa.insert(schema.audit), asdict(row))
    crash_point("audit_added")
    rows = [(LinkKind.ENTRY, asdict(row))]
    if outcome is not None:
        connection.execute(sa.insert(schema.audit_outcome), asdict(outcome))
        rows.append((LinkKind.OUTCOME, asdict(outcome)))
    audit_chain.append(connection, rows, keys)
    crash_point("audit_chained")


def add_outcome(connection: sa.Connection, outcome: OutcomeRow, *, keys: Sequence[str] = ()) -> None:
    """Add what has become of an entry."""
    connection.execute(sa.insert(schema.audit_outcome), asdict(outcome))
    audit_chain.append(connection, [(LinkKind.OUTCOME, asdict(outcome))], keys)


def page(
    connection: sa.Connection, wanted: AuditFilter, limit: int, before: str | None = None
) -> list[tuple[AuditRow, OutcomeRow | None]]:
    """Give entries with their outcomes, the newest first."""
    table, outcome = schema.audit, schema.audit_outcome
    query = sa.select(table)
    for name, value in asdict(wanted).items():
        if value:
            query = query.where(table.c[name] == value)
    if before is not None:
        query = query.where(table.c.id < before)
    rows = [AuditRow(**row._mapping) for row in connection.execute(query.order_by(table.c.id.desc()).limit(limit))]
    found = connection.execute(sa.select(outcome).where(outcome.c.id.in_([row.id for row in rows])))
    outcomes = {row.id: OutcomeRow(**row._mapping) for row in found}
    return [(row, outcomes.get(row.id)) for row in rows]
