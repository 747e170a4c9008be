"""Making partitioned tables of plain ones, on PostgreSQL, while they are used.

Nothing is copied: the table that was becomes the first partition of a new one, which has its name. That its rows are in
there is checked before, beside everybody's work, under a check that new rows obey from then on; the check is what the
server asks for. The change itself is one short transaction for all tables: it has happened, or it has not.

The first partition ends some days from now. A check that an interrupted conversion has left refuses what comes after
that, so workers take it away (:func:`clean_up`), and whoever converts again goes on from the beginning.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import exc

from inngest_celery.crash import crash_point
from inngest_celery.store import partitions
from inngest_celery.store.database import Database
from inngest_celery.store.migrate import LOCK, require_migrated
from inngest_celery.store.partitions import CHECK, FIRST, KEYS, OIDS, REST, TABLES, PartitionError

_ALONE = "inngest_partitioning"
# At least so far from now the first partition ends: time for whoever finds what was interrupted.
_LEAST_MS = 2 * 86_400_000
_TRIES = 60


def convert(database: Database, width: str, now: int) -> bool:
    """Partition the tables; false if they are already. It may be interrupted, and repeated.

    Args:
        width: of a period: ``day``, ``week`` or ``month``.
        now: milliseconds.

    Raises:
        PartitionError: they cannot be partitioned, and are as they were.
        DatabaseError: the database cannot be reached, or has not the tables of this release.
    """
    if database.dialect != "postgresql":
        raise PartitionError("partition_unsupported", "Only PostgreSQL has partitions that this can use.")
    require_migrated(database)
    with _nobody_else(database):
        with database.autocommit() as connection:
            found = partitions.look(connection)
            if found.width is None:
                _require_fitting(connection)
        if found.width is not None:
            _require_same(found.width, width)
            partitions.make_ahead(database, now)
            return False
        end = _end_of_first(width, now)
        try:
            partitions.patiently(lambda: _check(database, partitions.id_at(end)), _TRIES)
            crash_point("partition_checked")
            _validate(database)
            crash_point("partition_validated")
            partitions.patiently(lambda: _swap(database, width, end), _TRIES)
        except BaseException:
            _uncheck(database)
            raise
    crash_point("partition_swapped")
    partitions.make_ahead(database, now)
    partitions.analyse(database)
    return True


def clean_up(database: Database) -> bool:
    """Take away what an interrupted conversion has left, unless one goes on; tell whether there was something."""
    try:
        with _nobody_else(database):
            _uncheck(database)
            return True
    except PartitionError:
        return False


def _require_same(there: str, wanted: str) -> None:
    if there != wanted:
        raise PartitionError(
            "partition_width_other", f"The tables are partitioned by {there}. Partitions of another width are not made."
        )


def _end_of_first(width: str, now: int) -> datetime:
    return partitions.next_of(width, partitions.start_of(width, now + _LEAST_MS))


@contextmanager
def _nobody_else(database: Database) -> Iterator[None]:
    """Keep others from converting: for as long as this process lives, and its connection."""
    with database.autocommit() as connection:
        name = {"name": _ALONE}
        if not connection.execute(sa.text("SELECT pg_try_advisory_lock(hashtext(:name))"), name).scalar_one():
            raise PartitionError(
                "partition_going_on", "Another process is partitioning these tables. Wait until it has ended."
            )
        try:
            yield
        finally:
            if not connection.invalidated:
                connection.execute(sa.text("SELECT pg_advisory_unlock(hashtext(:name))"), name)


# Of every two characters of ULIDs, the database's collation must sort them as their bytes do: some take "CH" for one.
_COLLATION = sa.text("""
WITH letters AS (SELECT substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', n, 1) AS letter FROM generate_series(1, 32) AS n)
SELECT count(*) FROM (
  SELECT pair COLLATE "default" AS pair, lag(pair) OVER (ORDER BY pair COLLATE "C") AS before
  FROM (SELECT a.letter || b.letter AS pair FROM letters a, letters b) AS pairs
) AS sorted WHERE before COLLATE "default" >= pair COLLATE "default"
""")
# What hangs on a table itself, and would go on to hang on its first partition alone.
_HANGING = sa.text(f"""
SELECT tgname FROM pg_trigger WHERE tgrelid = {OIDS}
UNION SELECT conname FROM pg_constraint
  WHERE conrelid = {OIDS} AND contype NOT IN ('p', 'n') AND conname NOT LIKE '%{CHECK}'
UNION SELECT r.ev_class::regclass::text FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
  WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = {OIDS}
UNION SELECT p.pubname FROM pg_publication_rel l JOIN pg_publication p ON p.oid = l.prpubid WHERE l.prrelid = {OIDS}
UNION SELECT polname FROM pg_policy WHERE polrelid = {OIDS}
UNION SELECT indexrelid::regclass::text FROM pg_index
  WHERE indrelid = {OIDS} AND indisunique AND NOT indisprimary
""")  # noqa: S608


def _require_fitting(connection: sa.Connection) -> None:
    if connection.execute(_COLLATION).scalar_one():
        raise PartitionError(
            "partition_collation",
            "This database sorts texts so that ids are not in the order of their times. Partition a database whose "
            'collation is "C", "C.UTF-8" or English.',
        )
    hanging = sorted(connection.execute(_HANGING).scalars())
    if hanging:
        raise PartitionError(
            "partition_tables_changed",
            f"Of these tables somebody has made what would not follow them: {', '.join(hanging)}. Views, triggers, "
            "constraints, policies, unique indexes and publications have to go before, and may be made again after.",
        )


def _check(database: Database, end: str) -> None:
    with database.transaction() as connection:
        partitions.alone(connection)
        for column in KEYS:
            name = column.table.name
            connection.exec_driver_sql(
                f"ALTER TABLE {name} DROP CONSTRAINT IF EXISTS {name}{CHECK}, "
                f"ADD CONSTRAINT {name}{CHECK} CHECK ({column.name} < '{end}') NOT VALID"
            )


def _validate(database: Database) -> None:
    """Have the server look at all rows, while others go on."""
    for name in TABLES:
        try:
            with database.autocommit() as connection:
                connection.exec_driver_sql(f"ALTER TABLE {name} VALIDATE CONSTRAINT {name}{CHECK}")
        except exc.IntegrityError as error:
            raise PartitionError(
                "partition_ids_late",
                f"There are rows whose ids are of a later time than now, in {name}: a sender's clock was wrong. Look "
                "at the last ones (ORDER BY the primary key), and erase or delete them.",
            ) from error


def _uncheck(database: Database) -> None:
    def remove() -> None:
        with database.transaction() as connection:
            if not partitions.look(connection).unfinished:
                return
            partitions.alone(connection)
            for name in TABLES:
                connection.exec_driver_sql(f"ALTER TABLE {name} DROP CONSTRAINT IF EXISTS {name}{CHECK}")

    partitions.patiently(remove, _TRIES)


def _swap(database: Database, width: str, end: datetime) -> None:
    with database.transaction() as connection:
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": LOCK})
        partitions.alone(connection)
        for column in KEYS:
            _swap_one(connection, column, width, end)
        crash_point("partition_before_commit")


_OF_TABLE = sa.text("""
SELECT format('%I', s.nspname) AS schema, format('%I', r.rolname) AS owner
FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace JOIN pg_roles r ON r.oid = c.relowner
WHERE c.oid = to_regclass(:name)
""")
_INDEXES = sa.text("""
SELECT c.relname AS name, format('%I.%I', s.nspname, c.relname) AS quoted, pg_get_indexdef(c.oid) AS definition,
  (SELECT pg_get_constraintdef(x.oid) FROM pg_constraint x WHERE x.conindid = c.oid AND x.contype = 'p') AS key
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace s ON s.oid = c.relnamespace
WHERE i.indrelid = to_regclass(:name)
""")
_GRANTS = sa.text("""
SELECT format('GRANT %s ON %I TO %s', a.privilege_type, c.relname,
  CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END)
  || CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = to_regclass(:name) AND a.grantee <> c.relowner
""")


def _swap_one(connection: sa.Connection, column: sa.Column[str], width: str, end: datetime) -> None:
    """Make a table the first partition of a new one, with its name, indexes, owner and grants."""
    table = column.table.name
    run = connection.exec_driver_sql
    place = connection.execute(_OF_TABLE, {"name": table}).one()
    indexes = connection.execute(_INDEXES, {"name": table}).all()
    grants = connection.execute(_GRANTS, {"name": table}).scalars().all()
    name, old, last = f"{place.schema}.{table}", f"{table}_{width}_{FIRST}", partitions.id_at(end)
    run(f"ALTER TABLE {name} RENAME TO {old}")
    quote = connection.dialect.identifier_preparer.quote
    for index in indexes:
        run(f"ALTER INDEX {index.quoted} RENAME TO {quote(index.name[:57] + '_' + FIRST)}")
    run(
        f"CREATE TABLE {name} (LIKE {place.schema}.{old} INCLUDING DEFAULTS INCLUDING COMMENTS INCLUDING STORAGE) "
        f"PARTITION BY RANGE ({column.name})"
    )
    run(f"ALTER TABLE {name} OWNER TO {place.owner}")
    for grant in grants:
        run(grant)
    for index in indexes:
        made = f"ALTER TABLE {name} ADD CONSTRAINT {quote(index.name)} {index.key}" if index.key else index.definition
        run(made)
    run(f"ALTER TABLE {name} ATTACH PARTITION {place.schema}.{old} FOR VALUES FROM (MINVALUE) TO ('{last}')")
    run(f"ALTER TABLE {place.schema}.{old} DROP CONSTRAINT {table}{CHECK}")
    run(f"CREATE TABLE {place.schema}.{table}_{width}_{REST} PARTITION OF {name} DEFAULT")
