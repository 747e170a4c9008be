"""When signing keys were used last, on every database."""

from __future__ import annotations

import pytest

from inngest_celery.store import event_keys, schema, signing_keys
from inngest_celery.store.database import Database

HASH, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def database(database_url: str) -> Database:
    database = Database(database_url)
    schema.metadata.create_all(database.engine)
    return database


def test_uses_are_noted_to_the_minute_however_often_that_is_tried(database: Database) -> None:
    def used() -> dict[str, tuple[int, int | None, str]]:
        with database.autocommit() as connection:
            return {use.hash: (use.seen_at, use.used_at, use.used_by) for use in signing_keys.uses(connection)}

    def note(at: int, by: str) -> None:
        with database.transaction() as connection:
            # Every process does both, whether others have done so or not.
            signing_keys.watch(connection, [HASH, OTHER], at)
            signing_keys.note(connection, HASH, at, by)

    note(1_000, "app one")
    assert used() == {HASH: (1_000, 1_000, "app one"), OTHER: (1_000, None, "")}
    note(60_999, "app two")
    assert used()[HASH] == (1_000, 1_000, "app one")
    note(61_000, "x" * 200)
    assert used()[HASH] == (1_000, 61_000, "x" * 100)
    with database.transaction() as connection:
        assert event_keys.all_of(connection) == []
        assert event_keys.find(connection, HASH) is None
        assert not event_keys.revoke(connection, signing_keys.uses(connection)[0].id, 1)
    database.dispose()
