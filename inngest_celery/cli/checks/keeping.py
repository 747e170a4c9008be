"""Retention rules that come to nothing, erasures that have not ended, and partitions that are missing."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

import sqlalchemy as sa

from inngest_celery.cli.checks.findings import Deployment, Finding, problem, warning
from inngest_celery.store import partitions, schema


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


def parts(deployment: Deployment) -> Iterator[Finding]:
    """Of partitioned tables, the partitions of the time to come should be there, and nothing beside them."""
    if not deployment.migrated:
        return
    now = deployment.runtime.clock.now()
    with deployment.runtime.database.autocommit() as connection:
        found = partitions.look(connection)
        late = bool(found.width) and partitions.has_late(connection, found, now)
    make = "Workers make them every hour: see that one sweeps, and its log. Or: inngest-celery -A proj partition upkeep"
    if found.unfinished:
        yield problem(
            "partitioning_unfinished",
            "Somebody was partitioning the tables and was interrupted: in some days, events and steps are refused.",
            "Do it again (inngest-celery -A proj partition convert), or undo it: inngest-celery -A proj partition "
            "upkeep.",
        )
    if late:
        yield problem("partition_late", "Rows have come for which there are no partitions.", make)
    elif found.width and (not found.periods or found.periods[-1].end_ms <= now + partitions.width_ms(found.width)):
        yield warning("partition_missing", "Soon there are no partitions for what comes.", make)
    if found.width and not found.owned:
        yield warning(
            "partitions_not_owned",
            "The tables are partitioned, and this database user does not own them: it can neither make nor drop "
            "partitions. Retention goes by rows.",
            "Let their owner run `partition upkeep` and `retention run` by cron, or make the user one of its role.",
        )
