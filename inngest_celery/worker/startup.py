"""What a worker makes sure of before it takes a message."""

from __future__ import annotations

import logging

from inngest_celery.worker.runtime import Runtime

logger = logging.getLogger(__name__)


def prepare_database(runtime: Runtime) -> None:
    """Check that the tables are there. Those of the default SQLite file, which nobody else looks after, are made.

    Raises:
        MigrationNeeded: a database that somebody has chosen is not migrated. That is left to an operator, who knows
            when: workers of the release before may still be at work.
        DatabaseError: the database cannot be reached.
    """
    # Alembic says a dozen times a start that it has loaded itself.
    alembic = logging.getLogger("alembic")
    if alembic.level == logging.NOTSET:
        alembic.setLevel(logging.WARNING)
    # Imported here, because it is of no use to a process that only sends.
    from inngest_celery.store.migrate import MigrationState, require_migrated, state_of, upgrade

    if "database_url" not in runtime.settings.model_fields_set:
        if state_of(runtime.database) in (MigrationState.MISSING, MigrationState.BEHIND):
            upgrade(runtime.database)
        return
    if require_migrated(runtime.database) is MigrationState.AHEAD:
        logger.warning(
            "The database has been migrated for a newer release of inngest_celery than this one. That is meant for "
            "the time of a rollout: update this worker soon.",
            extra={"action": "database_ahead"},
        )
