"""What Prometheus is told: that it is true, that it is told once, and that it costs the same whatever there is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from celery import Celery
from prometheus_client.parser import text_string_to_metric_families

import inngest_celery as inngest
from inngest_celery.drivers.http.signing import bearer_of
from inngest_celery.server.metrics import Metrics, counters, lines
from inngest_celery.server.options import Options
from inngest_celery.store import functions, leases, schema
from inngest_celery.store.rows import RunStatus
from inngest_celery.worker.runtime import runtime_of
from tests.functions.bench import Bench
from tests.server.stage import Stage, staged
from tests.stage import Stage as Gated
from tests.stage import define_functions

sqlite = pytest.mark.databases("sqlite")
# What keeps a statement from reading all there is.
BOUNDS = ("LIMIT", "inngest_run.id IN", "min(inngest_job.sweep_at)")
NIGHT = {"development": False, "discovery": False, "poll_interval": 0.0}


class Told(dict[str, float]):
    """Samples by name and labels, as ``name{label="value"}`` without the quotes; 0 for one that is not there."""

    def __missing__(self, sample: str) -> float:
        return 0.0


def scrape(stage: Stage) -> Told:
    answer = stage.http.get("/metrics")
    assert answer.status_code == 200, answer.text
    told = Told()
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            told[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return told


@pytest.fixture
def stage(bench: Bench) -> Iterator[Stage]:
    """A server with functions that do one thing each."""

    @bench.function("quick", trigger=inngest.TriggerEvent(event="test/quick"))
    async def quick(ctx: inngest.Context) -> str:
        return await ctx.step.run("a", lambda: "done")

    @bench.function("nap", trigger=inngest.TriggerEvent(event="test/nap"))
    async def nap(ctx: inngest.Context) -> None:
        await ctx.step.sleep("nap", timedelta(hours=1))

    @bench.function("listen", trigger=inngest.TriggerEvent(event="test/listen"))
    async def listen(ctx: inngest.Context) -> None:
        await ctx.step.wait_for_event("heard", event="test/never", timeout=timedelta(hours=2))

    @bench.function("fail", trigger=inngest.TriggerEvent(event="test/fail"), retries=1)
    async def fail(ctx: inngest.Context) -> None:
        def body() -> None:
            raise ValueError("as always")

        await ctx.step.run("a", body)

    bench.inline  # noqa: B018  registers them
    with staged(bench) as stage:
        yield stage


def later(stage: Stage) -> None:
    """Let all that has happened be counted."""
    stage.bench.advance(seconds=counters.BEHIND_MS / 1000)


def test_what_there_is_now(stage: Stage) -> None:
    bench = stage.bench
    stage.start("test/nap")
    stage.start("test/listen")
    stage.start("test/fail")
    stage.http.post("/e/test", json={"name": "test/quick", "ts": bench.now + 60_000})
    stage.drain()
    stage.send("test/quick")
    bench.inline.clock.advance(2000)
    told = scrape(stage)
    # The failed one waits for its second attempt.
    assert told["inngest_runs{status=sleeping}"] == 2
    assert told["inngest_runs{status=waiting}"] == told["inngest_runs{status=scheduled}"] == 1
    assert told["inngest_runs{status=running}"] == 0
    assert told["inngest_queue_depth"] == told["inngest_queue_jobs{queue=celery}"] == 1
    assert told["inngest_jobs{kind=route,queue=celery,state=due}"] == 1
    assert told["inngest_jobs{kind=sleep,queue=celery,state=later}"] == 1
    assert told["inngest_timers"] == 4
    assert told["inngest_waits{kind=WaitForEvent}"] == 1
    assert 2 <= told["inngest_queue_wait_seconds"] < 30
    assert told["inngest_functions{state=active}"] == 4
    assert told["inngest_apps{state=error}"] == 0
    assert told["inngest_sweep_age_seconds"] == float("inf")
    claimed = bench.claim(bench.rows(schema.job, kind="route")[0].subject_id, "route")
    assert claimed is not None
    assert scrape(stage)["inngest_jobs{kind=route,queue=celery,state=leased}"] == 1
    bench.perform(claimed)
    bench.advance(hours=3)
    told = scrape(stage)
    assert [told[f"inngest_runs{{status={each}}}"] for each in ("scheduled", "running", "sleeping", "waiting")] == [
        0
    ] * 4


def test_what_has_ended_is_counted_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "_PAGE", 2)
    ended = "inngest_function_run_ended_total{fn=app-quick,status=completed}"
    # There from the beginning, so that a rate can rise from it.
    assert ended in scrape(stage)
    for _ in range(5):
        stage.start("test/quick")
    assert scrape(stage)[ended] == 0
    later(stage)
    for _ in range(2):
        told = scrape(stage)
        assert told[ended] == told["inngest_function_run_started_total{fn=app-quick}"] == 5
        assert told["inngest_function_run_scheduled_total{fn=app-quick}"] == 5
        assert told["inngest_steps_total{fn=app-quick,op=StepRun,status=completed}"] == 5
        assert told["inngest_step_duration_seconds_count{fn=app-quick}"] == 5
        assert told["inngest_run_duration_seconds_bucket{fn=app-quick,le=+Inf}"] == 5
        # The step, and the function's own end.
        assert told["inngest_sdk_req_ended_total{fn=app-quick,status=success}"] == 10
        assert told["inngest_sdk_req_started_total{fn=app-quick}"] == 10
        assert told["inngest_counters_behind_seconds"] == 0


def test_failures_and_durations(stage: Stage) -> None:
    run = stage.start("test/nap")
    failed = stage.start("test/fail")
    stage.bench.finish(failed)
    stage.bench.finish(run)
    later(stage)
    told = scrape(stage)
    assert told["inngest_function_run_ended_total{fn=app-fail,status=failed}"] == 1
    assert told["inngest_steps_total{fn=app-fail,op=StepRun,status=failed}"] == 1
    # Two attempts at the step; then the error is the function's own.
    assert told["inngest_sdk_req_ended_total{fn=app-fail,status=errored}"] == 1
    assert told["inngest_sdk_req_ended_total{fn=app-fail,status=failed}"] == 2
    assert told["inngest_run_duration_seconds_bucket{fn=app-nap,le=1800.0}"] == 0
    assert told["inngest_run_duration_seconds_bucket{fn=app-nap,le=86400.0}"] == 1
    assert told["inngest_run_duration_seconds_sum{fn=app-nap}"] == pytest.approx(3600, abs=30)
    # A sleep is no step that takes as long as its code.
    assert told["inngest_steps_total{fn=app-nap,op=Sleep,status=completed}"] == 1
    assert told["inngest_step_duration_seconds_count{fn=app-nap}"] == 0


@sqlite
def test_a_run_that_never_starts_is_counted_when_it_ends(stage: Stage) -> None:
    stage.http.post("/e/test", json={"name": "test/quick", "ts": stage.bench.now + 3_600_000})
    stage.drain()
    [run] = stage.bench.rows(schema.run)
    stage.bench.inline.runs.cancel(run.id)
    later(stage)
    told = scrape(stage)
    assert told["inngest_function_run_scheduled_total{fn=app-quick}"] == 1
    assert told["inngest_function_run_started_total{fn=app-quick}"] == 0
    assert told["inngest_function_run_ended_total{fn=app-quick,status=cancelled}"] == 1


@sqlite
def test_a_late_commit_is_counted(stage: Stage) -> None:
    run = stage.start("test/listen")
    ended_at = stage.bench.now
    later_on = ended_at + counters.BEHIND_MS - 1
    stage.bench.inline.clock.advance(later_on - ended_at)
    scrape(stage)
    # Committed only now.
    with stage.bench.database.transaction() as connection:
        connection.execute(sa.update(schema.run).values(status=RunStatus.CANCELLED.value, ended_at=ended_at))
        runs_jobs = sa.delete(schema.job).where(schema.job.c.subject_id == run.id)
        connection.execute(runs_jobs)
        connection.execute(sa.delete(schema.wait))
    stage.bench.inline.clock.advance(1)
    assert scrape(stage)["inngest_function_run_ended_total{fn=app-listen,status=cancelled}"] == 1


@sqlite
def test_a_look_costs_the_same_whatever_there_is(stage: Stage) -> None:
    metrics, here = Metrics(runtime_of(stage.bench.app)), threading.get_ident()
    counted: list[str] = []

    def count(*args: Any) -> None:
        # The server looks for other things meanwhile.
        if threading.get_ident() == here:
            counted.append(args[2])

    sa.event.listen(stage.bench.database.engine, "before_cursor_execute", count)

    def cost() -> int:
        counted.clear()
        assert [*metrics.collect()]
        return len(counted)

    stage.start("test/quick")
    later(stage)
    alone = cost()
    for _ in range(9):
        stage.start("test/nap")
        stage.start("test/quick")
    later(stage)
    assert cost() == alone == 12
    # Of what there may be millions of, as many rows are read as are counted at most.
    tables = ("FROM inngest_job", "FROM inngest_wait", "FROM inngest_run")
    endless = [text for text in counted if any(table in text for table in tables)]
    assert len(endless) == 9
    assert [text for text in endless if not any(bound in text for bound in BOUNDS)] == []
    stage.bench.advance(hours=1)


@sqlite
def test_the_sweep_is_told_of(stage: Stage) -> None:
    stage.start("test/nap")
    now = stage.bench.now
    leases.acquire(stage.bench.database, "sweep", "a worker", now=now, until=now + 5000)
    stage.bench.inline.clock.advance(30_000)
    told = scrape(stage)
    assert told["inngest_sweep_age_seconds"] == pytest.approx(30, abs=9)
    assert told["inngest_sweep_lag_seconds"] == 0
    stage.bench.inline.clock.advance(3_600_000)
    # The timer should have been promoted a horizon before it was due.
    assert scrape(stage)["inngest_sweep_lag_seconds"] == pytest.approx(30 + 60, abs=9)
    stage.drain()


@sqlite
def test_a_server_with_keys_asks_for_one(database_url: str) -> None:
    key = "signkey-prod-" + "0123456789abcdef" * 4
    with closing(Bench(database_url, inngest_signing_key=key)) as bench:
        bench.function()(lambda ctx: None)
        bench.inline  # noqa: B018  makes the tables
        with staged(bench, Options(**NIGHT)) as stage:
            assert stage.http.get("/metrics").status_code == 401
            headers = {"authorization": f"Bearer {bearer_of(key)}"}
            assert stage.http.get("/metrics", headers=headers).status_code == 200


@sqlite
def test_openmetrics_is_spoken(stage: Stage) -> None:
    accept = {"accept": "application/openmetrics-text; version=1.0.0"}
    answer = stage.http.get("/metrics", headers=accept)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


@sqlite
@pytest.mark.brokers("valkey")
def test_lines_are_told_by_limit_and_never_by_key(database_url: str, redis_url: str) -> None:
    app = Celery("stage", broker=redis_url, set_as_current=False)
    define_functions(inngest.Inngest(app_id="stage", celery=app))
    with closing(Gated(app, database_url)) as gated:
        for customer in ("a", "a", "b"):
            gated.send("stage/keyed", customer=customer)
        with gated.runtime.database.autocommit() as connection:
            registered = functions.all_of(connection)
        found = {
            (sample.name, *sample.labels.values()): sample.value
            for family in lines.families(gated.runtime, registered)
            for sample in family.samples
        }
        assert found["inngest_limit_jobs", "stage-keyed", "concurrency.0", "waiting"] == 1
        assert found["inngest_limit_jobs", "stage-keyed", "concurrency.0", "out"] == 2
        assert found["inngest_limit_keys", "stage-keyed", "concurrency.0"] == 2
        assert found["inngest_limit_jobs", "stage-one", "concurrency.0", "waiting"] == 0
        assert found["inngest_redis_up",] == 1
    lost = Celery("lost", set_as_current=False)
    lost.conf.inngest_redis_url = "redis://127.0.0.1:1"
    [alone] = lines.families(runtime_of(lost), registered)
    assert (alone.name, alone.samples[0].value) == ("inngest_redis_up", 0)
