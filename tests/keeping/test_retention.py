"""Retention deletes what nobody keeps, all of it together, and nothing that anything still needs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
import sqlalchemy as sa
from celery import Celery

import inngest_celery as inngest
from inngest_celery.server.metrics import keeping
from inngest_celery.settings import SettingsError, settings_of
from inngest_celery.store import schema
from inngest_celery.worker import bridge, holding, rerunning
from inngest_celery.worker.chores import NotYet
from inngest_celery.worker.keeping import ending, sweeping
from inngest_celery.worker.keeping.plan import plan_of
from inngest_celery.worker.keeping.sweeping import Retention
from inngest_celery.worker.outbox import outbox
from inngest_celery.worker.runs import RunNotFoundError
from inngest_celery.worker.runtime import runtime_of
from tests.databases import create_tables
from tests.functions.bench import Bench
from tests.keeping.conftest import MakeBench, counts, define, statements, sweep
from tests.worker_process import ROOT

MONTH: list[dict[str, object]] = [{"function": "app-*", "keep": "30 days"}]
DATABASES = pytest.mark.databases("sqlite", "postgres", "mariadb")
ONE = pytest.mark.databases("sqlite")


@DATABASES
def test_all_of_a_run_goes_together_when_its_time_is_over(make_bench: MakeBench) -> None:
    bench = make_bench(inngest_retention=MONTH)
    bench.run()
    bench.run("test/bad")
    for _ in range(2):
        bench.send("test/many")
    bench.advance(days=1)
    before = counts(bench)
    assert {"run", "step", "attempt", "cost", "run_event", "event"} <= before.keys()
    assert sweep(bench) == {}
    bench.advance(days=30)
    new = bench.run("test/bad")
    assert sweep(bench)["run"] == before["run"]
    assert {row.id for row in bench.rows(schema.run)} == {new.id}
    assert {row.run_id for row in bench.rows(schema.attempt)} == {new.id}
    assert not bench.rows(schema.step) + bench.rows(schema.cost) + bench.rows(schema.run_event)
    assert sweep(bench) == {}
    bench.advance(days=31)
    sweep(bench)
    assert counts(bench) == {}


@DATABASES
def test_what_is_live_keeps_what_it_needs(make_bench: MakeBench) -> None:
    bench = make_bench(inngest_retention=[{"function": "*", "keep": "1d"}, {"event": "*", "keep": "1d"}])
    waiting = bench.run("test/wait")
    assert bench.send("test/nobody") == []
    bench.advance(days=40)
    sweep(bench)
    assert {row.id for row in bench.rows(schema.run)} == {waiting.id}
    assert [row.name for row in bench.rows(schema.event)] == ["test/wait"]
    bench.inline.runs.cancel(waiting.id)
    assert sweep(bench) == {}
    bench.advance(days=2)
    sweep(bench)
    assert counts(bench) == {}


@ONE
def test_events_that_are_collected_or_on_their_way_stay(make_bench: MakeBench) -> None:
    bench = make_bench(inngest_retention=[{"event": "*", "keep": "1d"}])
    bench.send("test/many")
    outbox(bench.app).send([inngest.Event(name="test/go")])
    # Time passes, and no worker is there.
    bench.inline.clock.advance(10 * 86_400_000)
    assert sweep(bench) == {}
    bench.inline.drain()
    assert len(bench.rows(schema.run)) == 2


@ONE
def test_the_first_rule_that_fits_counts(make_bench: MakeBench) -> None:
    rules = [
        {"event": "test/bad", "status": "failed", "keep": "forever"},
        {"function": "app-fn", "status": "completed", "keep": "2d"},
        {"function": "app-*", "keep": "10d"},
    ]
    bench = make_bench(inngest_retention=rules)
    failed, done = bench.run("test/bad"), bench.finish(bench.run())
    waiting = bench.run("test/wait")
    bench.inline.runs.cancel(waiting.id)
    bench.advance(days=3)
    sweep(bench)
    assert {row.id for row in bench.rows(schema.run)} == {failed.id, waiting.id}
    assert not [row for row in bench.rows(schema.event) if row.id == done.event_id]
    bench.advance(days=8)
    sweep(bench)
    assert {row.id for row in bench.rows(schema.run)} == {failed.id}


@ONE
def test_without_rules_nothing_is_asked_of_the_database(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.run("test/bad")
    retention = Retention(runtime_of(bench.app))
    assert statements(bench, lambda: retention.is_due) == 0
    assert not retention.is_due


@DATABASES
def test_what_is_kept_is_passed_once_and_a_transaction_costs_the_same(make_bench: MakeBench) -> None:
    rules = [{"function": "app-fn", "keep": "forever"}, {"function": "*", "keep": "1d"}]
    bench = make_bench(inngest_retention=rules)
    for _ in range(3):
        bench.finish(bench.run())
    bench.advance(days=2)
    runtime = runtime_of(bench.app)
    plan = plan_of(runtime)
    [first, *_] = ending.lengths(plan)
    assert ending.go_on(runtime, plan, *first).looked_at == 3
    assert ending.go_on(runtime, plan, *first).looked_at == 0

    def cost(runs: int) -> int:
        for _ in range(runs):
            bench.run("test/bad")
        bench.advance(days=2)
        return statements(bench, lambda: ending.go_on(runtime, plan, *first))

    # The first deletion of all makes the lock that it takes.
    cost(1)
    few, many = cost(1), cost(20)
    assert few == many < 30
    assert len(bench.rows(schema.run)) == 3


@DATABASES
def test_what_is_held_stays_with_its_events_until_it_is_released(make_bench: MakeBench) -> None:
    bench = make_bench(inngest_retention=MONTH)
    runs = [bench.run("test/bad", who=who) for who in ("ada", "bob", "cy")]
    runtime = runtime_of(bench.app)
    first = holding.add(runtime, "case 1", "tests", where="event.data.who == 'ada'")
    holding.add(runtime, "case 2", "tests", run_id=runs[1].id)
    bench.advance(days=31)
    sweep(bench)
    assert {row.id for row in bench.rows(schema.run)} == {runs[0].id, runs[1].id}
    assert {runs[0].event_id, runs[1].event_id} <= {row.id for row in bench.rows(schema.event)}
    holding.release(runtime, first.id, "tests")
    with pytest.raises(holding.HoldNotFoundError):
        holding.release(runtime, first.id, "tests")
    sweep(bench)
    assert {row.id for row in bench.rows(schema.run)} == {runs[1].id}
    holding.add(runtime, "case 3", "tests", function_id="app-bad")
    bench.run("test/bad")
    bench.advance(days=31)
    assert sweep(bench) == {}


@ONE
def test_a_deleted_run_cannot_be_repeated(make_bench: MakeBench) -> None:
    bench = make_bench(inngest_retention=MONTH)
    run = bench.run("test/bad")
    bench.advance(days=31)
    sweep(bench)
    with pytest.raises(RunNotFoundError):
        rerunning.rerun(runtime_of(bench.app), run.id)


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"function": "x", "keep": "soon"}, "is not a duration"),
        ({"function": "x", "keep": "2 hours"}, "at least one day"),
        ({"keep": "2d"}, 'either "event" or "function"'),
        ({"event": "a", "function": "b", "keep": "2d"}, 'either "event" or "function"'),
        ({"function": "x", "keep": "2d", "state": "failed"}, "retention.0.state"),
        ({"function": "x", "keep": "2d", "status": "running"}, "retention.0.status"),
    ],
)
def test_rules_are_read_at_the_start(rule: dict[str, Any], told: str) -> None:
    app = Celery(set_as_current=False)
    app.conf.inngest_retention = [rule]
    with pytest.raises(SettingsError, match=told):
        settings_of(app)


def test_rules_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INNGEST_RETENTION", '[{"event": "a/*", "keep": "2 weeks"}]')
    [rule] = settings_of(Celery(set_as_current=False)).retention
    assert rule.keep_ms == 14 * 86_400_000


@ONE
def test_a_worker_does_it_now_and_then_a_bit_at_a_time(make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make_bench(inngest_retention=MONTH)
    for _ in range(3):
        bench.run("test/bad")
    bench.advance(days=31)
    monkeypatch.setattr(ending, "AT_ONCE", 2)
    retention = Retention(runtime_of(bench.app))
    assert retention.is_due
    retention.begin()
    assert not retention.is_due
    with pytest.raises(NotYet):
        retention.go_on()
    assert len(bench.rows(schema.run)) == 1
    retention.go_on()
    assert counts(bench) == {}


@ONE
def test_its_time_is_bounded(make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make_bench(inngest_retention=MONTH)
    for _ in range(3):
        bench.run("test/bad")
    bench.advance(days=31)
    monkeypatch.setattr(ending, "AT_ONCE", 1)
    monkeypatch.setattr(sweeping, "MOST_S", 0.0)
    retention = Retention(runtime_of(bench.app))
    retention.begin()
    retention.go_on()
    assert len(bench.rows(schema.run)) == 2


@pytest.mark.databases("sqlite")
@pytest.mark.brokers("valkey")
def test_results_go_with_their_runs(make_bench: MakeBench, redis_url: str) -> None:
    bench = make_bench(inngest_retention=MONTH)
    bench.app.conf.result_backend = redis_url
    runs = [bench.run("test/bad"), bench.run("test/bad")]
    with bench.database.transaction() as connection:
        # As if a canvas had called it, under an id of its own.
        update = sa.update(schema.run).where(schema.run.c.id == runs[0].id)
        connection.execute(update.values(celery=json.dumps({"task_id": "call"})))
    for task_id, run in (("call", runs[0]), (runs[0].id, runs[0]), (runs[1].id, runs[1])):
        bridge.store_result(runtime_of(bench.app), task_id, run.status, "kept")
    with closing(redis.Redis.from_url(redis_url)) as client:
        assert len(list(client.scan_iter("celery-task-meta-*"))) == 3
        holding.add(runtime_of(bench.app), "case", "tests", run_id=runs[1].id)
        bench.advance(days=31)
        sweep(bench)
        assert list(client.scan_iter("celery-task-meta-*")) == [f"celery-task-meta-{runs[1].id}".encode()]


@ONE
def test_prometheus_hears_of_it(make_bench: MakeBench) -> None:
    bench = make_bench(inngest_retention=MONTH)
    for _ in range(2):
        bench.run("test/bad")
    bench.advance(days=31)
    sweep(bench)
    bench.inline.clock.advance(90_000)

    def told() -> dict[str, float]:
        found = keeping.families(runtime_of(bench.app), bench.now)
        return {f"{each.name}{each.labels}": each.value for family in found for each in family.samples}

    assert told()["inngest_retention_rows_deleted_total{'of': 'runs'}"] == 10
    assert told()["inngest_retention_lag_seconds{}"] == pytest.approx(90, abs=30)
    bench.app.conf.inngest_retention = []
    runtime_of(bench.app).__dict__.pop("settings")
    assert statements(bench, told) == 0


def test_a_process_that_dies_in_the_middle_is_followed_by_another(tmp_path: Path) -> None:
    """It is killed before a commit and after one; then all is gone that has to be, and nothing else."""
    database = tmp_path / "d.db"
    bench = Bench(f"sqlite:///{database}")
    define(bench)
    create_tables(f"sqlite:///{database}")
    for _ in range(3):
        bench.run("test/bad")
    # The other process has the system's clock: what is here ended long before.
    with bench.database.transaction() as connection:
        connection.execute(sa.update(schema.run).values(ended_at=schema.run.c.ended_at - 40 * 86_400_000))
        connection.execute(sa.update(schema.event).values(received_at=schema.event.c.received_at - 40 * 86_400_000))
    bench.close()
    orders = tmp_path / "orders"
    orders.mkdir()
    environment = {
        "PYTHONPATH": str(ROOT),
        "INNGEST_TEST_CRASH": str(orders),
        "INNGEST_DATABASE_URL": f"sqlite:///{database}",
        "INNGEST_RETENTION": json.dumps(MONTH),
    }
    call = [sys.executable, "-c", "from inngest_celery.cli import main; main()", "retention", "run", "--json"]

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True)

    for place, left in (("retention_before_commit", 3), ("retention_after_commit", 0)):
        (orders / place).touch()
        assert run().returncode == -signal.SIGKILL, place
        assert len(bench.rows(schema.run)) == left
    done = run()
    assert (done.returncode, json.loads(done.stdout)) == (0, {"rows": {}}), done.stderr
    assert not bench.rows(schema.event) + bench.rows(schema.attempt)
