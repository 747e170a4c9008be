"""Upkeep of partitioned tables: partitions are there before their time comes. A chore of the worker that sweeps."""

from __future__ import annotations

import logging
import time

from inngest_celery.store import partitioning, partitions
from inngest_celery.store.partitions import PartitionError
from inngest_celery.worker.runtime import Runtime

logger = logging.getLogger(__name__)

EVERY_S = 3600.0
_BUSY_AGAIN_S = 60.0


class Upkeep:
    """What the worker that sweeps does for it: one statement an hour, on PostgreSQL, where there is nothing to do.

    Args:
        runtime: of the app.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._next = 0.0

    @property
    def is_due(self) -> bool:
        """Whether it is time to look. Never with other databases."""
        return self._runtime.database.dialect == "postgresql" and time.monotonic() >= self._next

    def begin(self) -> None:
        """Begin to look; :meth:`look` then does it."""
        self._next = time.monotonic() + EVERY_S

    def look(self) -> None:
        """Make the partitions that are missing, and take away what an interrupted conversion has left."""
        try:
            keep_up(self._runtime)
        except PartitionError as error:
            if error.code == "partition_tables_busy":
                self._next = time.monotonic() + _BUSY_AGAIN_S
            else:
                logger.warning("%s", error, extra={"action": error.code})


def keep_up(runtime: Runtime) -> int:
    """Do it once; give how many periods have got partitions.

    Raises:
        PartitionError: the tables are busy, or somebody else's.
    """
    database = runtime.database
    with database.autocommit() as connection:
        found = partitions.look(connection)
    if found.unfinished and found.owned and partitioning.clean_up(database):
        logger.warning(
            "Somebody was partitioning the tables and was interrupted; they are as they were.",
            extra={"action": "partitioning_undone"},
        )
    return partitions.make_ahead(database, runtime.clock.now()) if found.width else 0
