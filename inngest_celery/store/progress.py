"""How far runs are: what somebody who looks on needs, and nothing that may be large."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from inngest_celery.store import schema

# More runs than a statement should name are looked up by several.
_AT_ONCE = 200


class RunProgress(NamedTuple):
    id: str
    function_id: str
    status: int
    created_at: int
    started_at: int | None
    ended_at: int | None


class StepProgress(NamedTuple):
    run_id: str
    seq: int
    name: str
    op: str
    failed: bool
    attempt: int
    started_at: int
    ended_at: int


def of_runs(connection: sa.Connection, run_ids: Sequence[str]) -> list[RunProgress]:
    """Read how far these runs are; those that are not there are left out."""
    table, found = schema.run, []
    for start in range(0, len(run_ids), _AT_ONCE):
        wanted = table.c.id.in_(run_ids[start : start + _AT_ONCE])
        columns = [table.c[name] for name in RunProgress._fields]
        found += [RunProgress(*row) for row in connection.execute(sa.select(*columns).where(wanted))]
    return found


def of_steps(connection: sa.Connection, after: Mapping[str, int]) -> list[StepProgress]:
    """Read which steps have an outcome, in the order of their runs.

    Args:
        after: for each run the place of the last step that is known.
    """
    table, found, given = schema.step, [], list(after.items())
    for start in range(0, len(given), _AT_ONCE):
        newer = [
            sa.and_(table.c.run_id == run_id, table.c.seq > seq) for run_id, seq in given[start : start + _AT_ONCE]
        ]
        columns = [table.c[name] for name in StepProgress._fields]
        query = sa.select(*columns).where(sa.or_(*newer)).order_by(table.c.run_id, table.c.seq)
        found += [StepProgress(*row) for row in connection.execute(query)]
    return found
