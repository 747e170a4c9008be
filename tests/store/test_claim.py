"""What a claim on PostgreSQL brings along, and what it must not."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from inngest_celery.store import jobs, outcomes, runs, schema, waits
from inngest_celery.store.database import Database
from inngest_celery.store.jobs import Claimed
from inngest_celery.store.rows import Event, Job, JobKind, Run, RunStatus, Step, Wait, values
from tests.waiting import wait_until

pytestmark = pytest.mark.databases("postgres")
NOW = 1_700_000_000_000
RUN = "RUN"
SOON = 10.0


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A run that has recorded two steps and waits for an event; the time to wait is just over."""
    database = Database(database_url)
    event = Event("EVENT", "test/go", "EVENT", "{}", NOW, NOW)
    run = Run(RUN, "app-fn", event.id, None, RunStatus.RUNNING.value, NOW, started_at=NOW)
    steps = [Step(RUN, key, key, "StepRun", f'"{key}"', False, 0, NOW, NOW, NOW + at) for at, key in enumerate("ba")]
    wait = Wait(RUN, "wait", "WaitForEvent", "wait", "test/ready", "", None, NOW, NOW)
    job = Job(RUN, "wait", JobKind.TIMEOUT, "wait", "app-fn", "app-fn", "celery", NOW, NOW, NOW)
    with database.transaction() as connection:
        connection.execute(sa.insert(schema.event), values(event))
        runs.insert(connection, run)
        outcomes.record(connection, steps)
        waits.insert(connection, [wait])
        jobs.insert(connection, [job])
    yield database
    database.dispose()


def claim(database: Database) -> Claimed:
    claimed = jobs.claim(database, RUN, "wait", owner="me", now=NOW, until=NOW + 1000)
    assert claimed is not None
    return claimed


def waits_for_a_lock(database: Database) -> bool:
    query = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    with database.autocommit() as connection:
        return bool(connection.exec_driver_sql(query).scalar_one())


def test_a_claim_brings_the_memos_in_their_order(database: Database) -> None:
    memos = claim(database).memos
    assert memos is not None
    assert list(memos.items()) == [("b", '"b"'), ("a", '"a"')]


def test_a_claim_that_waited_for_a_change_leaves_the_memos_to_be_read(database: Database) -> None:
    with ThreadPoolExecutor(1) as threads:
        with database.transaction() as connection:
            resumed = waits.resume(connection, RUN, "wait", '{"name": "test/ready"}', now=NOW, sweep_at=NOW)
            claiming = threads.submit(claim, database)
            wait_until(lambda: waits_for_a_lock(database), message="the claim to wait for the event's lock")
        claimed = claiming.result(SOON)
    assert resumed is not None
    assert claimed.job.kind is JobKind.RESUME
    assert claimed.memos is None
