"""Run by Alembic, which is run by ``inngest_celery.store.migrate``; it brings the connection, or only a dialect.

A change of a table is a new file in ``versions/``, made from ``script.py.mako``, beside the change in
``inngest_celery/store/schema.py``: ``tests/store/test_migrate.py`` shows what the two still differ in. Files that were
released never change, and a change must let the release before run on: add in one release, remove in the next. On
PostgreSQL, events, steps and attempts may be partitioned (``store.partitions``): no index of theirs can be made
CONCURRENTLY, and none of them gets a unique key without the column that they are partitioned by.
"""

from __future__ import annotations

from alembic import context

from inngest_celery.store.migrate import VERSION_TABLE
from inngest_celery.store.schema import metadata

attributes = context.config.attributes
context.configure(
    connection=attributes.get("connection"),
    dialect_name=attributes.get("dialect"),
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    literal_binds=context.is_offline_mode(),
)
with context.begin_transaction():
    context.run_migrations()
