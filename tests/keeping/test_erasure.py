"""All that is known of a person can be erased, or redacted: a search of the whole database finds nothing more."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from inngest_celery.settings import SettingsError, require_subject_secret
from inngest_celery.store import erasures, schema
from inngest_celery.store.rows import RunStatus
from inngest_celery.worker import holding
from inngest_celery.worker.erasing import asking, planning, receipts
from inngest_celery.worker.erasing.carrying_out import Erasing
from inngest_celery.worker.erasing.planning import ErasureError
from inngest_celery.worker.runtime import runtime_of
from tests.functions.bench import Bench
from tests.keeping import ada
from tests.keeping.ada import ADA, BOB, WHERE

DATABASES = pytest.mark.databases("sqlite", "postgres", "mariadb")
ONE = pytest.mark.databases("sqlite")
SETTINGS = {"inngest_subject_key": "a key for the tests", "inngest_subjects": {"email": ["event.data.email"]}}


@pytest.fixture
def make(database_url: str) -> Iterator[Callable[..., Bench]]:
    benches: list[Bench] = []

    def made(**settings: object) -> Bench:
        benches.append(Bench(database_url, **{**SETTINGS, **settings}))
        ada.define(benches[-1])
        return benches[-1]

    yield made
    for bench in benches:
        bench.close()


def erase(
    bench: Bench, where: str = WHERE, *, redacts: bool = False, cancels: bool = True, confirmed: int | None = None
) -> erasures.Erasure:
    runtime = runtime_of(bench.app)
    asked = asking.by_expression(where)
    found = planning.find(runtime, asked, lambda _: None)
    planning.check(runtime, found, cancels=cancels, confirmed=confirmed)
    erasure = planning.store(runtime, asked, found, redacts=redacts, cancels=cancels, by="tests")
    return Erasing(runtime, erasure, asked.words, 0, lambda _: None).carry_out()


def cancel_many(bench: Bench) -> None:
    row = {"id": "C", "app_id": "app", "function_id": "f", "started_before": 1, "expression": WHERE, "created_at": 1}
    with bench.database.transaction() as connection:
        connection.execute(sa.insert(schema.cancellation), {**row, "cancelled": 0})


def sign(bench: Bench) -> None:
    """Leave behind what a run of an app on an SDK of another language leaves that has waited for a signal."""
    run = next(row for row in bench.rows(schema.run, function_id="app-join") if ADA in (row.output or ""))
    name = f"inngest/signal:sign {ADA}"
    times = {"queued_at": 1, "started_at": 1, "ended_at": 1}
    step = {
        "run_id": run.id,
        "id": "s",
        "name": "sign",
        "op": "WaitForSignal",
        "memo": "null",
        "failed": False,
        **times,
    }
    with bench.database.transaction() as connection:
        connection.execute(sa.insert(schema.topic), {"event_name": name, "paths": "[]"})
        told = json.dumps({"until": 1, "event": name, "if": None})
        connection.execute(sa.insert(schema.step), {**step, "attempt": 0, "waited": told})


@DATABASES
@pytest.mark.parametrize("redacts", [False, True], ids=["erase", "redact"])
def test_nothing_of_a_person_is_left(make: Callable[..., Bench], redacts: bool) -> None:
    bench = make()
    ada.live(bench)
    cancel_many(bench)
    sign(bench)
    # Without an erasure the search finds it, wherever it can be.
    assert ADA.encode() in ada.stored(bench.database)
    assert {
        "event.data",
        "run.output",
        "step.memo",
        "step.name",
        "step.waited",
        "attempt.error",
        "attempt.name",
        "wait.expression",
        "cancellation.expression",
        "topic.event_name",
    } <= ada.tables_with(bench.database, ADA)
    before = len(bench.rows(schema.run))
    told = json.loads(erase(bench, redacts=redacts).receipt or "{}")
    assert ada.tables_with(bench.database, ADA) == set()
    assert ADA.encode() not in ada.stored(bench.database)
    assert told["rows"]["inngest_event"] > 5
    assert told["rows"]["inngest_step"] > 5
    # Bob's run still waits, and ends well.
    [bobs] = [row for row in bench.rows(schema.run, function_id="app-join") if row.status == RunStatus.RUNNING]
    bench.send("test/paid", email=BOB)
    bench.advance(hours=2)
    assert bench.inline.runs.get(bobs.id).output == {"email": BOB}
    if redacts:
        assert len(bench.rows(schema.run)) >= before
        assert {row.data for row in bench.rows(schema.event, name="test/joined")} > {'{"redacted": true}'}
    # Once more, there is nothing.
    assert json.loads(erase(bench, redacts=redacts).receipt or "{}")["items"] == 0


@ONE
def test_what_lives_is_refused_unless_it_is_to_be_cancelled(make: Callable[..., Bench]) -> None:
    bench = make()
    ada.live(bench)
    before = [bench.rows(table) for table in schema.metadata.sorted_tables]
    with pytest.raises(ErasureError, match="have not ended") as refused:
        erase(bench, cancels=False)
    assert refused.value.code == "erasure_live_runs"
    with pytest.raises(ErasureError, match="were confirmed"):
        erase(bench, confirmed=1)
    assert [bench.rows(table) for table in schema.metadata.sorted_tables] == before


@ONE
def test_all_that_there_is_has_to_be_confirmed(make: Callable[..., Bench]) -> None:
    bench = make()
    for number in range(12):
        bench.send("test/any", id=number)
    with pytest.raises(ErasureError, match="--confirm-count 24") as refused:
        erase(bench, "event.data.id >= 0")
    assert refused.value.code == "confirmation_needed"
    erase(bench, "event.data.id >= 0", confirmed=24)
    assert bench.rows(schema.run) == bench.rows(schema.event) == []


@DATABASES
def test_what_is_held_is_left_and_said(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.send("test/many", email=ADA)
    bench.send("test/many", email=BOB)
    [run] = bench.rows(schema.run)
    holding.add(runtime_of(bench.app), "case 1", "tests", run_id=run.id)
    told = json.loads(erase(bench).receipt or "{}")
    assert told["held_back"] == [run.id]
    assert len(told["holds"]) == 1
    assert bench.rows(schema.run) == [run]
    assert len(bench.rows(schema.event, name="test/many")) == 2


@ONE
def test_a_hold_that_comes_after_the_plan_holds(make: Callable[..., Bench]) -> None:
    bench = make()
    runtime, asked = runtime_of(bench.app), asking.by_expression(WHERE)
    for email in (ADA, BOB):
        bench.send("test/many", email=email)
    [run] = bench.rows(schema.run)
    found = planning.find(runtime, asked, lambda _: None)
    erasure = planning.store(runtime, asked, found, redacts=False, cancels=False, by="tests")
    holding.add(runtime, "case 1", "tests", function_id="app-many")
    told = json.loads(Erasing(runtime, erasure, asked.words, 0, lambda _: None).carry_out().receipt or "{}")
    assert (told["held_back"], told["rows"]) == ([run.id], {})
    assert bench.rows(schema.run) == [run]
    assert len(bench.rows(schema.event, name="test/many")) == 2


@ONE
def test_a_subject_is_asked_for_by_its_name(make: Callable[..., Bench]) -> None:
    bench = make()
    settings = runtime_of(bench.app).settings
    assert asking.by_subject(settings, "email", ADA).where == WHERE
    assert asking.by_subject(settings, "email", ADA).hash(settings) == asking.by_expression(WHERE).hash(settings)
    with pytest.raises(asking.SubjectUnknownError, match="declared are email"):
        asking.by_subject(settings, "phone", "1")
    with pytest.raises(SettingsError) as missing:
        require_subject_secret(settings.model_copy(update={"subject_key": None}))
    assert missing.value.code == "subject_key_missing"


def test_a_receipt_is_what_was_signed() -> None:
    private, public = receipts.new_key()
    bench = Bench("sqlite://", inngest_receipt_key=private)
    settings = runtime_of(bench.app).settings
    assert receipts.public_key(settings) == public
    signed = receipts.sign(settings, {"erasure": "E", "rows": {"inngest_run": 1}})
    assert receipts.verify(json.dumps(signed), public)["erasure"] == "E"

    def code(text: str, trusted: str = public) -> str:
        with pytest.raises(receipts.ReceiptError) as refused:
            receipts.verify(text, trusted)
        return refused.value.code

    assert code(json.dumps(signed).replace('inngest_run": 1', 'inngest_run": 2')) == "receipt_tampered"
    assert code(json.dumps(signed), receipts.new_key()[1]) == "receipt_unknown_key"
    assert code("{}") == code("nothing") == "receipt_unreadable"
    assert code(json.dumps(signed), "no key") == "receipt_unreadable"
