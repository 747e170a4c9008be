"""Event keys, from their making to their end, at a server that goes on: what they may send, and what it costs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from inngest_celery.server.access import event_keys
from inngest_celery.server.access.event_keys import KeyNotFound, KeyRefused, NewKey
from inngest_celery.server.access.senders import KNOWN_MS, Sender
from inngest_celery.server.sends import MOST, Sends
from inngest_celery.store import audit, audit_check, schema
from inngest_celery.store import event_keys as rows
from inngest_celery.worker.runtime import runtime_of
from tests.functions.bench import Bench
from tests.server.access.conftest import CLOUD, EVENT_KEY, Guarded
from tests.server.stage import Stage, staged

pytestmark = pytest.mark.databases("sqlite")

DAY_MS = 86_400_000


def make(bench: Bench, *scopes: str, **options: Any) -> NewKey:
    return event_keys.create(runtime_of(bench.app), "ci", scopes, created_by="ada", **options)


def send(stage: Stage, key: str, *names: str) -> tuple[int, str | None]:
    answer = stage.http.post(f"/e/{key}", json=[{"name": name, "data": {}} for name in names or ["shop/a"]])
    return answer.status_code, answer.json().get("code")


def stored(bench: Bench) -> list[str]:
    with bench.database.autocommit() as connection:
        return list(connection.execute(sa.select(schema.event.c.name)).scalars())


def sends(bench: Bench) -> list[tuple[str, str, int]]:
    """Who has sent which event how often, as the log says."""
    with bench.database.autocommit() as connection:
        found = audit.page(connection, audit.AuditFilter(action="event.send"), 100)
        assert audit_check.check_database(connection).problem is None
    told = [(row, json.loads(row.details)) for row, _ in reversed(found)]
    return [(details["key"], row.subject, details["count"]) for row, details in told]


@contextmanager
def statements(bench: Bench) -> Iterator[list[str]]:
    """The statements on keys and the log that are executed within."""
    noted: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_more: object) -> None:
        if any(name in statement for name in ("inngest_key", "inngest_token", "inngest_audit")):
            noted.append(statement)

    sa.event.listen(bench.database.engine, "before_cursor_execute", note)
    try:
        yield noted
    finally:
        sa.event.remove(bench.database.engine, "before_cursor_execute", note)


def test_a_key_from_its_making_to_its_end(guarded: Guarded) -> None:
    bench = guarded.bench
    made = make(bench, lasts_ms=DAY_MS)
    assert send(guarded, made.secret) == (200, None)
    assert send(guarded, event_keys.PREFIX + "guessed") == (401, "event_key_not_found")
    # Rotated: both are good, and then the new one only.
    newer = event_keys.rotate(runtime_of(bench.app), made.row.id, created_by="ada", overlap_ms=3_600_000)
    assert (newer.row.name, newer.row.replaces) == ("ci", made.row.id)
    bench.inline.clock.advance(1_800_000)
    assert [send(guarded, key)[0] for key in (made.secret, newer.secret)] == [200, 200]
    bench.inline.clock.advance(1_801_000)
    assert send(guarded, made.secret) == (401, "event_key_expired")
    with pytest.raises(KeyNotFound):
        event_keys.rotate(runtime_of(bench.app), made.row.id, created_by="ada", overlap_ms=0)
    assert send(guarded, newer.secret) == (200, None)
    event_keys.revoke(runtime_of(bench.app), newer.row.id)
    bench.inline.clock.advance(KNOWN_MS)
    assert send(guarded, newer.secret) == (401, "event_key_revoked")
    with pytest.raises(KeyNotFound):
        event_keys.revoke(runtime_of(bench.app), newer.row.id)
    assert len(stored(bench)) == 4
    with bench.database.autocommit() as connection:
        dump = json.dumps([list(row) for row in connection.execute(sa.select(schema.key))])
    assert made.secret not in dump
    assert newer.secret not in dump


def test_a_batch_with_one_event_out_of_scope_is_refused_whole(guarded: Guarded) -> None:
    key = make(guarded.bench, "shop/*", "billing/paid").secret
    assert send(guarded, key, "shop/a", "billing/paid") == (200, None)
    assert send(guarded, key, "shop/a", "billing/refunded") == (403, "event_key_scope_missing")
    form = guarded.http.post(f"/e/{key}", data={"name": "other/a"})
    assert (form.status_code, form.json()["code"]) == (403, "event_key_scope_missing")
    assert guarded.http.post(f"/e/{key}", json=[{"name": "shop/a"}, {"no": "name"}]).status_code == 400
    assert sorted(stored(guarded.bench)) == ["billing/paid", "shop/a"]


def test_in_the_steady_state_keys_and_counts_cost_no_statement(guarded: Guarded) -> None:
    key = make(guarded.bench, "shop/*")
    with statements(guarded.bench) as noted:
        assert send(guarded, key.secret) == (200, None)
        assert len(noted) == 2, "looked up, and noted as used"
        noted.clear()
        for _ in range(20):
            assert send(guarded, key.secret) == (200, None)
            assert send(guarded, EVENT_KEY) == (200, None)
        assert noted == []
        guarded.bench.inline.clock.advance(KNOWN_MS)
        assert send(guarded, key.secret) == (200, None)
        assert len(noted) == 1, "looked up again, and not written: it was used within this minute"
    with guarded.bench.database.autocommit() as connection:
        [row] = rows.all_of(connection)
    assert row.used_at is not None


def test_what_was_sent_stands_in_the_log_a_minute_later_or_at_the_end(bench: Bench) -> None:
    key = make(bench)
    with staged(bench, CLOUD) as stage:
        send(stage, key.secret, "shop/a", "shop/a", "shop/b")
        send(stage, EVENT_KEY, "shop/a")
        send(stage, "wrong", "shop/a")
        assert sends(bench) == []
    [*by_key, (setting, *_)] = sends(bench)
    assert by_key == [(key.row.id, "shop/a", 2), (key.row.id, "shop/b", 1)]
    assert setting.startswith("setting:")
    assert EVENT_KEY not in setting


def test_counts_are_bounded_and_are_kept_while_the_database_is_away(
    bench: Bench,
) -> None:
    runtime = runtime_of(bench.app)
    assert bench.inline
    counted, sender = Sends(runtime), Sender("id", "ci", "event_key")
    counted.count(sender, [f"event/{number}" for number in range(MOST + 50)])
    counted.count(sender, ["event/0"])
    assert counted.flush() == 1, "of other names; the minute is not over"
    assert sends(bench) == [("id", "", 50)]
    bench.inline.clock.advance(60_000)
    rename(bench, "inngest_audit", "inngest_gone")
    assert counted.flush() == 0
    rename(bench, "inngest_gone", "inngest_audit")
    assert counted.flush() == MOST
    assert counted.flush() == 0
    with bench.database.autocommit() as connection:
        [(twice, _)] = audit.page(connection, audit.AuditFilter(subject="event/0"), 10)
    assert json.loads(twice.details)["count"] == 2


def rename(bench: Bench, table: str, name: str) -> None:
    with bench.database.transaction() as connection:
        connection.execute(sa.text(f"alter table {table} rename to {name}"))


@pytest.mark.parametrize(
    ("name", "scopes", "lasts_ms"),
    [("", (), None), ("x" * 101, (), None), ("ci", ("a*b",), None), ("ci", ("",), None), ("ci", (), 0)],
)
def test_what_no_key_can_be_like_is_refused(bench: Bench, name: str, scopes: tuple[str, ...], lasts_ms: int) -> None:
    assert bench.inline
    with pytest.raises(KeyRefused) as caught:
        event_keys.create(runtime_of(bench.app), name, scopes, created_by="ada", lasts_ms=lasts_ms)
    assert caught.value.code == "key_invalid"
