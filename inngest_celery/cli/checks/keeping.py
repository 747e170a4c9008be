"""Retention rules that come to nothing, and erasures that have not ended."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

import sqlalchemy as sa

from inngest_celery.cli.checks.findings import Deployment, Finding, problem, warning
from inngest_celery.store import schema


def rules(deployment: Deployment) -> Iterator[Finding]:
    """Each rule for functions should fit one that there is."""
    known = {*deployment.registered, *deployment.declared}
    for rule in deployment.settings.retention:
        if rule.function is not None and not any(fnmatchcase(each, rule.function) for each in known):
            yield warning(
                "retention_rule_fits_nothing",
                f"The rule of inngest_retention for the function {rule.function!r} fits none that there is.",
                "Write full ids, <app id>-<function id>, or globs such as shop-*; `functions list` shows all. If the "
                "function is gone and was never registered here, remove the rule.",
            )


def erasures(deployment: Deployment) -> Iterator[Finding]:
    """One that was interrupted has to be finished."""
    if not deployment.migrated:
        return
    table = schema.erasure
    query = sa.select(table.c.id).where(table.c.planned_at.is_not(None), table.c.ended_at.is_(None))
    with deployment.runtime.database.autocommit() as connection:
        found = connection.execute(query.order_by(table.c.id)).scalars().all()
    for erasure_id in found:
        yield problem(
            "erasure_unfinished",
            f"The erasure {erasure_id} was begun and has not ended: some of what it is to erase is still there.",
            f"Finish it: inngest-celery -A proj erase --resume {erasure_id}",
        )
