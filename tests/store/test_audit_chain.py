"""The audit log's chain: without gaps whoever appends at once, and whatever is done to it behind our back shows."""

from __future__ import annotations

import hashlib
import hmac
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command

from inngest_celery import ids
from inngest_celery.store import audit, audit_chain, audit_check, migrate, schema
from inngest_celery.store.audit import AuditRow, OutcomeRow
from inngest_celery.store.audit_chain import FIRST, AuditKeyMissing
from inngest_celery.store.audit_check import Verdict
from inngest_celery.store.conflicts import retried
from inngest_celery.store.database import Database
from tests.nursery import ROOT

THREADS, EACH = 4, 8
NOW = 1_700_000_000_000
KEY, NEW_KEY = "one key", "a newer key"

APPEND = """
import sys
from inngest_celery.store import audit
from inngest_celery.store.audit import AuditRow, OutcomeRow
from inngest_celery.store.database import Database
database = Database(sys.argv[1])
row = AuditRow(sys.argv[2], 1, "ada", "session", "admin", "", "run.cancel", "x", "{}")
with database.transaction() as connection:
    audit.add(connection, row, OutcomeRow(row.id, 1, "done", "{}"))
"""


@pytest.fixture
def database(database_url: str) -> Database:
    return Database(database_url)


def entry(number: int = 0, subject: str = "run é") -> AuditRow:
    at = NOW + number
    return AuditRow(ids.new(at), at, "ada", "session", "admin", "::1", "run.cancel", subject, '{"n": 1}')


@retried
def add(database: Database, row: AuditRow, *keys: str, outcome: bool = True) -> AuditRow:
    with database.transaction() as connection:
        audit.add(connection, row, OutcomeRow(row.id, row.at, "done", "{}") if outcome else None, keys=keys)
    return row


def verdict(database: Database, *keys: str, head: str | None = None) -> Verdict:
    with database.autocommit() as connection:
        return audit_check.check_database(connection, keys, head)


def code(found: Verdict) -> str | None:
    return found.problem.code if found.problem else None


def do(database: Database, statement: sa.Executable) -> None:
    with database.transaction() as connection:
        connection.execute(statement)


def test_those_who_append_at_once_make_one_chain_without_gaps(database: Database) -> None:
    start, errors = threading.Barrier(THREADS), []

    def append(offset: int) -> None:
        start.wait()
        try:
            for number in range(EACH):
                row = add(database, entry(offset + number), outcome=False)
                with database.transaction() as connection:
                    audit.add_outcome(connection, OutcomeRow(row.id, NOW, "done", "{}"))
        except Exception as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=append, args=(1000 * number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    found = verdict(database)
    assert (found.problem, found.entries, found.outcomes) == (None, THREADS * EACH, THREADS * EACH)
    with database.autocommit() as connection:
        newest = audit_chain.head(connection)
    assert newest is not None
    assert (newest.seq, newest.hash) == (found.seq, found.hash)


def test_an_empty_log_is_whole(database: Database) -> None:
    found = verdict(database)
    assert (found.problem, found.seq, found.hash) == (None, 0, FIRST)
    assert code(verdict(database, head="0" * 63 + "1")) == "head_unknown"


LINK, ROW, OUTCOME, HEAD = schema.audit_link, schema.audit, schema.audit_outcome, schema.audit_head
Tamper = Callable[[list[str]], list[sa.Executable]]
# What somebody does to the third of five entries (links 5 and 6), and what is found where.
TAMPERED: dict[str, tuple[Tamper, str, int | None]] = {
    "a changed row": (
        lambda ids: [sa.update(ROW).where(ROW.c.id == ids[2]).values(actor="bob")],
        "row_changed",
        5,
    ),
    "a changed outcome": (
        lambda ids: [sa.update(OUTCOME).where(OUTCOME.c.id == ids[2]).values(outcome="denied")],
        "row_changed",
        6,
    ),
    "a removed row": (lambda ids: [sa.delete(ROW).where(ROW.c.id == ids[2])], "row_missing", 5),
    "a removed row and its link": (
        lambda ids: [sa.delete(ROW).where(ROW.c.id == ids[2]), sa.delete(LINK).where(LINK.c.seq == 5)],
        "link_missing",
        5,
    ),
    "an inserted row": (
        lambda ids: [sa.insert(ROW).values(**_columns(entry(99)))],
        "row_unchained",
        None,
    ),
    "two rows that have changed places": (
        lambda ids: [
            sa.update(LINK).where(LINK.c.seq == 3).values(seq=1000),
            sa.update(LINK).where(LINK.c.seq == 5).values(seq=3),
            sa.update(LINK).where(LINK.c.seq == 1000).values(seq=5),
        ],
        "row_changed",
        3,
    ),
    "an end that was cut off": (
        lambda ids: [
            sa.delete(LINK).where(LINK.c.seq > 8),
            sa.delete(ROW).where(ROW.c.id == ids[4]),
            sa.delete(OUTCOME).where(OUTCOME.c.id == ids[4]),
        ],
        "end_missing",
        8,
    ),
    "a link that says less of when it was chained": (
        lambda ids: [sa.update(LINK).where(LINK.c.seq == 5).values(kind="found_entry")],
        "row_changed",
        5,
    ),
}


def _columns(row: AuditRow) -> dict[str, object]:
    return {name: getattr(row, name) for name in ROW.c.keys()}  # noqa: SIM118  not a dict


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("tampered", TAMPERED.values(), ids=TAMPERED)
@pytest.mark.parametrize("keys", [(), (KEY,)], ids=["no key", "key"])
def test_what_was_tampered_with_is_named(
    database: Database, tampered: tuple[Tamper, str, int | None], keys: tuple[str, ...]
) -> None:
    tamper, expected, seq = tampered
    rows = [add(database, entry(number), *keys) for number in range(5)]
    assert code(verdict(database, *keys)) is None
    for statement in tamper([row.id for row in rows]):
        do(database, statement)
    found = verdict(database, *keys)
    assert (code(found), found.problem and found.problem.seq) == (expected, seq)
    if expected == "row_unchained":
        assert found.problem is not None
        assert found.problem.id not in {row.id for row in rows}


def _forge(database: Database, key: str = "") -> None:
    """Make the chain anew from what stands in the tables, as whoever can write them all could."""
    for table in (LINK, HEAD):
        do(database, sa.delete(table))
    rows = []
    with database.autocommit() as connection:
        for found in connection.execute(sa.select(ROW).order_by(ROW.c.id)):
            rows.append((audit_chain.LinkKind.ENTRY, dict(found._mapping)))
            outcome = connection.execute(sa.select(OUTCOME).where(OUTCOME.c.id == found.id)).one()
            rows.append((audit_chain.LinkKind.OUTCOME, dict(outcome._mapping)))
    with database.transaction() as connection:
        audit_chain.append(connection, rows, (key,) if key else ())


@pytest.mark.databases("sqlite")
def test_a_chain_made_anew_is_told_by_a_head_kept_elsewhere_or_by_the_key(database: Database) -> None:
    for number in range(3):
        add(database, entry(number))
    head = verdict(database).hash
    add(database, entry(3))
    assert code(verdict(database, head=head)) is None, "the chain has grown since"
    do(database, sa.update(ROW).values(actor="nobody"))
    _forge(database)
    assert code(verdict(database)) is None, "without a key and a head, nothing tells"
    assert code(verdict(database, head=head)) == "head_unknown"
    # The same where there is a key, which whoever forges does not have.
    _forge(database, KEY)
    assert code(verdict(database, KEY)) is None
    _forge(database, "a guess")
    assert code(verdict(database, KEY)) == "key_unknown"
    _forge(database)
    assert code(verdict(database, KEY)) == "key_missing"


@pytest.mark.databases("sqlite")
def test_a_key_is_set_and_changed(database: Database) -> None:
    add(database, entry(0))
    assert code(verdict(database, KEY)) == "key_missing", "nothing was chained with it yet"
    add(database, entry(1), KEY)
    add(database, entry(2), NEW_KEY, KEY)
    found = verdict(database, NEW_KEY, KEY)
    assert (found.problem, found.keyed, found.entries) == (None, 4, 3)
    assert code(verdict(database, NEW_KEY)) == "key_unknown"
    with pytest.raises(AuditKeyMissing, match="INNGEST_AUDIT_KEY") as caught:
        add(database, entry(3))
    assert caught.value.code == "audit_key_missing"
    assert verdict(database, NEW_KEY, KEY) == found, "and nothing was written"


@pytest.mark.databases("sqlite")
def test_the_end_shows_in_spite_of_a_head_that_was_taken_away(database: Database) -> None:
    for number in range(3):
        add(database, entry(number))
    do(database, sa.delete(HEAD))
    assert code(verdict(database)) == "end_missing"
    add(database, entry(3))
    found = verdict(database)
    assert (found.problem, found.seq) == (None, 8), "it goes on where the links end"


@pytest.mark.parametrize("place", ["audit_added", "audit_linked", "audit_chained"])
@pytest.mark.databases("sqlite", "postgres")
def test_a_process_that_is_killed_in_the_middle_leaves_nothing_of_an_entry(
    database: Database, database_url: str, tmp_path: Path, place: str
) -> None:
    add(database, entry(0))
    before = verdict(database)
    (tmp_path / place).touch()
    process = subprocess.run(
        [sys.executable, "-c", APPEND, database_url, ids.new(NOW)],
        cwd=ROOT,
        env={**os.environ, "INNGEST_TEST_CRASH": str(tmp_path)},
        timeout=60,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL
    assert verdict(database) == before
    add(database, entry(1))
    found = verdict(database)
    assert (found.problem, found.seq) == (None, 4)


def test_what_was_there_before_the_migration_is_chained_as_found(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    with database.engine.connect() as connection, connection.begin():
        command.upgrade(migrate._config(connection=connection), "0008")
    old = [entry(number) for number in range(3)]
    with database.transaction() as connection:
        connection.execute(sa.insert(ROW), [_columns(row) for row in old])
        connection.execute(sa.insert(OUTCOME), {"id": old[0].id, "at": NOW, "outcome": "done", "details": "{}"})
    migrate.upgrade(database)
    add(database, entry(3), KEY)
    found = verdict(database, KEY)
    assert (found.problem, found.entries, found.outcomes, found.found, found.keyed) == (None, 4, 2, 4, 2)
    # A process of the release before goes on for a while.
    late = entry(4)
    do(database, sa.insert(ROW).values(**_columns(late)))
    missing = verdict(database, KEY)
    assert code(missing) == "row_unchained"
    assert missing.problem is not None
    assert missing.problem.id == late.id
    with database.transaction() as connection:
        assert audit_chain.chain_found(connection, [KEY]) == 1
    assert verdict(database, KEY).found == 5
    do(database, sa.update(ROW).where(ROW.c.id == old[1].id).values(actor="bob"))
    assert code(verdict(database, KEY)) == "row_changed"


def test_the_form_of_a_link_is_fixed_for_ever() -> None:
    row = {"id": "01HF7YAT000000000000000001", "at": 1, "actor": "é"}
    start, end = '{"key":"', f'","kind":"entry","previous":"{FIRST}","row":'
    end += '{"actor":"é","at":1,"id":"01HF7YAT000000000000000001"},"seq":1,"v":1}'
    made = audit_chain.link_hash(FIRST, 1, "entry", row)
    assert made == hashlib.sha256(f"{start}{end}".encode()).hexdigest()
    key_id = hmac.new(KEY.encode(), b"inngest audit key", hashlib.sha256).hexdigest()[:16]
    made = audit_chain.link_hash(FIRST, 1, "entry", row, KEY)
    assert made == hmac.new(KEY.encode(), f"{start}{key_id}{end}".encode(), hashlib.sha256).hexdigest()
