"""Whose data it is, is noted in the transaction that stores it; nothing is sent for it where nothing is declared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery
from sqlalchemy.orm import Session

import inngest_celery as inngest
from inngest_celery.settings import SettingsError, settings_of
from inngest_celery.store import fast, schema
from inngest_celery.worker.erasing import asking, indexing, planning
from inngest_celery.worker.keeping.sweeping import Retention
from inngest_celery.worker.outbox import outbox
from inngest_celery.worker.runtime import runtime_of
from tests.functions.bench import Bench
from tests.keeping import ada
from tests.keeping.ada import ADA, BOB, WHERE
from tests.keeping.conftest import statements
from tests.keeping.test_erasure import erase

DATABASES = pytest.mark.databases("sqlite", "postgres", "mariadb")
ONE = pytest.mark.databases("sqlite")
PATHS = {"email": ["event.data.email", "output.email", "event.data.about"], "who": ["event.data.who"]}
DECLARED: dict[str, Any] = {"inngest_subject_key": "a key for the tests", "inngest_subjects": PATHS}


@pytest.fixture
def make(database_url: str) -> Iterator[Callable[..., Bench]]:
    benches: list[Bench] = []

    def made(**settings: object) -> Bench:
        benches.append(Bench(database_url, **settings))
        ada.define(benches[-1])
        return benches[-1]

    yield made
    for bench in benches:
        bench.close()


def noted(bench: Bench, name: str = "email", value: str = ADA) -> set[str]:
    """Give the names of the events, and functions of the runs, that are noted for a value."""
    declared = runtime_of(bench.app).database.subjects
    assert declared is not None
    ids = {row.subject_id for row in bench.rows(schema.subject, name=name, hash=declared.hash(name, value))}
    of_events = {row.name for row in bench.rows(schema.event) if row.id in ids}
    return of_events | {row.function_id for row in bench.rows(schema.run) if row.id in ids}


@DATABASES
def test_all_that_is_stored_is_noted_however_it_is_stored(make: Callable[..., Bench]) -> None:
    bench = make(**DECLARED)
    bench.send("test/joined", email=ADA)
    bench.advance(minutes=5)
    bench.send("test/paid", email=ADA)
    bench.advance(hours=2)
    # Sent by the product, from a step, and what a run gave; then a call, under another name.
    assert noted(bench) == {"test/joined", "test/paid", "test/told", "app-join"}
    assert noted(bench, "who") == {"inngest/function.invoked"}
    assert noted(bench, value=BOB) == set()
    # The table tells nobody without the key.
    assert not ada.tables_with(bench.database, ADA) & {"subject.hash", "subject.name"}
    with Session(bench.database.engine) as session:
        outbox(bench.app).send([inngest.Event(name="test/in", data={"email": BOB})], session=session)
        session.rollback()
        outbox(bench.app).send([inngest.Event(name="test/in", data={"email": BOB})], session=session)
        session.commit()
    outbox(bench.app).send([inngest.Event(name=f"test/{each}", data={"email": BOB}) for each in "ab"])
    assert noted(bench, value=BOB) == {"test/in", "test/a", "test/b"}
    assert len(bench.rows(schema.subject, name="email")) == 7


@DATABASES
def test_an_index_that_is_complete_finds_the_same(make: Callable[..., Bench]) -> None:
    bench = make()
    ada.live(bench)
    runtime = runtime_of(bench.app)
    # Declared later; what was there before is not noted.
    bench.app.conf.update(DECLARED)
    for made in ("settings", "database"):
        runtime.__dict__.pop(made, None)
    assert bench.rows(schema.subject) == []
    declared = runtime.database.subjects
    assert declared is not None
    asked = asking.by_subject(runtime.settings, "email", ADA)
    assert indexing.found_by_index(runtime, asked.where) is None
    scanned = planning.find(runtime, asked, lambda _: None)
    *_, looked_at = indexing.fill(runtime)
    assert looked_at > 10
    assert indexing.is_complete(runtime, declared)
    assert indexing.found_by_index(runtime, asked.where) is not None
    assert planning.find(runtime, asked, lambda _: None) == scanned
    assert indexing.found_by_index(runtime, WHERE) is not None
    assert indexing.found_by_index(runtime, 'event.data.email != "x"') is None
    assert indexing.found_by_index(runtime, f"{WHERE} && event.data.id == 1") is None
    assert indexing.found_by_index(runtime, "event.data.id == 1") is None
    erase(bench, asked.where)
    assert noted(bench) == set()
    assert ada.tables_with(runtime.database, ADA) == set()


@ONE
def test_where_nothing_is_declared_nothing_is_sent(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.inline.clock.now()
    event = inngest.Event(name="test/none", data={"email": ADA})
    # BEGIN, the event, its job.
    assert statements(bench, lambda: outbox(bench.app).send([event])) == 3
    assert not Retention(runtime_of(bench.app)).is_due


@pytest.mark.databases("postgres")
def test_an_event_and_whose_it_is_are_one_statement(make: Callable[..., Bench], monkeypatch: Any) -> None:
    bench = make(**DECLARED)
    bench.inline.clock.now()
    sent: list[object] = []
    monkeypatch.setattr(
        fast._STORE_INDEXED, "rows", lambda *args, rows=fast._STORE_INDEXED.rows: sent.append(rows(*args))
    )
    event = inngest.Event(name="test/none", data={"email": ADA})
    assert statements(bench, lambda: outbox(bench.app).send([event])) == 0
    assert (len(sent), noted(bench)) == (1, {"test/none"})


@pytest.mark.parametrize(
    ("paths", "told"),
    [
        ({"email": ["data.email"]}, "is no path"),
        ({"email": []}, "at least one path"),
        ({"email": ["event.data.a b"]}, "is no path"),
        ({"email": ["event.data.email"]}, "inngest_subject_key"),
    ],
)
def test_declarations_are_read_at_the_start(paths: dict[str, list[str]], told: str) -> None:
    app = Celery(set_as_current=False)
    app.conf.inngest_subjects = paths
    with pytest.raises(SettingsError, match=told):
        settings_of(app)


def test_hashes_are_equal_where_values_are() -> None:
    app = Celery(set_as_current=False)
    app.conf.update(DECLARED, inngest_database_url="sqlite:///x.db")
    declared = runtime_of(app).database.subjects
    assert declared is not None
    assert declared.hash("a", 1) == declared.hash("a", 1.0) != declared.hash("a", True)
    assert declared.hash("a", "1") not in (declared.hash("a", 1), declared.hash("b", "1"), None)
    assert declared.hash("a", None) is declared.hash("a", []) is None
