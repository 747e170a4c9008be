"""The keys that payloads are encrypted with: that a newest value of each sort can be read."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from inngest_celery.cli.checks.findings import Deployment, Finding, problem
from inngest_celery.store import schema
from inngest_celery.store.database import DatabaseError


def keys(deployment: Deployment) -> Iterator[Finding]:
    if not deployment.migrated:
        return
    event, run = schema.event, schema.run
    newest = sa.select(event.c.data).order_by(event.c.received_at.desc(), event.c.id.desc())
    ended = sa.select(run.c.output).where(run.c.ended_at.is_not(None)).order_by(run.c.ended_at.desc(), run.c.id.desc())
    try:
        with deployment.runtime.database.autocommit() as connection:
            for query in (newest, ended):
                connection.execute(query.limit(1)).first()
    except DatabaseError as error:
        yield problem(
            error.code,
            str(error),
            "Whatever needs such a value waits until then. `inngest-celery encryption status` counts all of them.",
        )
