"""The pages of functions: what they say is what was run, and a button does what the command line does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

import inngest_celery as inngest
from inngest_celery import ids
from inngest_celery.server.dashboard.lately import lately
from inngest_celery.store import functions, runs
from inngest_celery.store.rows import RunStatus
from inngest_celery.worker.registry import declared, synchronise
from inngest_celery.worker.runtime import runtime_of
from tests.dashboard.counting import statements_of
from tests.functions.bench import Bench
from tests.server.stage import Stage, staged

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
sqlite = pytest.mark.databases("sqlite")


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    bench = Bench(database_url)
    try:
        yield bench
        bench.check()
    finally:
        bench.close()


@pytest.fixture
def stage(bench: Bench) -> Iterator[Stage]:
    with staged(bench) as stage:
        yield stage


def record(bench: Bench, function_id: str, number: int, *, since: int, until: int, **times: int) -> None:
    """Store runs that have ended, evenly spread over a time; every tenth has failed."""
    rows = []
    for index in range(number):
        at = since + index * (until - since) // number
        status = RunStatus.COMPLETED if index % 10 else RunStatus.FAILED
        started_at = at + times.get("wait", 0)
        rows.append(
            {
                "id": ids.new(at),
                "function_id": function_id,
                "event_id": ids.new(at),
                "status": status.value,
                "created_at": at,
                "started_at": started_at,
                "ended_at": started_at + times.get("took", 0),
            }
        )
    with bench.database.transaction() as connection:
        connection.execute(sa.insert(runs.schema.run), rows)


def register(stage: Stage) -> None:
    """Register the functions that are defined, as a worker does when it starts."""
    synchronise(runtime_of(stage.bench.app), declared(stage.bench.app))


def page(stage: Stage, path: str) -> str:
    """Get a page, as text with single spaces and without tags."""
    answer = stage.http.get(path)
    assert answer.status_code == 200, answer.text
    return text_of(answer)


def text_of(answer: httpx.Response) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", answer.text)))


def line(stage: Stage, function_id: str) -> str:
    """Get a function's line in the list."""
    html = stage.http.get("/functions").text
    found = re.search(rf'<tr id="function-{function_id}".*?</tr>', html, re.DOTALL)
    assert found, html
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", found[0]))).strip()


def press(stage: Stage, path: str, **form: str) -> str:
    """Press a button; gives the page that it leads to."""
    answer = stage.http.post(path, data=form)
    assert answer.status_code == 303, answer.text
    stage.http.cookies.update(answer.cookies)
    return page(stage, answer.headers["location"])


def test_the_list_says_what_functions_did_lately(stage: Stage) -> None:
    @stage.bench.function("pay", trigger=inngest.TriggerEvent(event="shop/paid"), retries=0)
    def pay(ctx: inngest.ContextSync) -> None:
        if ctx.event.data.get("fails"):
            raise ValueError("no money")

    @stage.bench.function("tidy", trigger=inngest.TriggerCron(cron="0 3 * * *"))
    def tidy(ctx: inngest.ContextSync) -> None: ...

    register(stage)
    stage.start("shop/paid")
    stage.bench.advance(hours=2)
    stage.start("shop/paid")
    stage.start("shop/paid", fails=True)
    # In the last hour, in the last day, and what has failed of those.
    assert re.search(r"pay app-pay app shop/paid active 2 3 33\.3 %", line(stage, "app-pay"))
    assert "cron 0 3 * * *" in line(stage, "app-tidy")
    few = statements_of(stage, "/functions")
    for number in range(20):
        stage.bench.function(f"more{number}", trigger=inngest.TriggerEvent(event=f"shop/{number}"))(lambda ctx: None)
    register(stage)
    assert "more19" in page(stage, "/functions")
    assert len(statements_of(stage, "/functions")) == len(few)


def test_a_busy_functions_day_is_estimated_and_a_rare_ones_counted(bench: Bench) -> None:
    now = bench.now
    record(bench, "busy", 4800, since=now + 1 - DAY_MS, until=now + 1)
    record(bench, "rare", 24, since=now + 1 - DAY_MS, until=now + 1)
    # More in the last hour than are read of an hour.
    record(bench, "burst", 3000, since=now - HOUR_MS // 2, until=now)
    with bench.database.autocommit() as connection:
        done = lately(connection, ["busy", "rare", "burst", "never"], now)
    assert done["busy"].day.about
    assert done["busy"].day.runs == pytest.approx(4800, rel=0.05)
    assert done["busy"].day.failure_rate == pytest.approx(0.1, abs=0.02)
    # Its own newest runs reach back beyond the hour.
    assert (done["busy"].hour.runs, done["busy"].hour.about) == (200, False)
    assert (done["rare"].day.runs, done["rare"].day.about, done["rare"].day.more) == (24, False, False)
    assert done["rare"].day.by_status == {RunStatus.COMPLETED: 21, RunStatus.FAILED: 3}
    assert [sum(hour.values()) for hour in done["rare"].by_hour] == [1] * 24
    assert done["burst"].day.about
    assert done["never"].day.runs == 0


def test_a_functions_figures_are_those_of_its_runs(stage: Stage) -> None:
    @stage.bench.function("pay", trigger=inngest.TriggerEvent(event="shop/paid"))
    def pay(ctx: inngest.ContextSync) -> None: ...

    register(stage)
    now = stage.bench.now
    record(stage.bench, "app-pay", 100, since=now - 30 * 60_000, until=now, took=2_000, wait=50)
    record(stage.bench, "app-pay", 4, since=now - 20 * 60_000, until=now, took=60_000, wait=50)
    record(stage.bench, "app-other", 50, since=now - 20 * 60_000, until=now, took=60_000)
    # More than are read of a part.
    record(stage.bench, "app-pay", 1_000, since=now - 3 * HOUR_MS - 1_800_000, until=now - 3 * HOUR_MS, took=9_000)
    assert len(statements_of(stage, "/functions/app-pay?last=1h")) <= 10
    hour = page(stage, "/functions/app-pay?last=1h")
    assert "Runs in 1h 104 Failed 10.6 %" in hour
    assert "Duration p50 2.0 s Duration p95 2.0 s Duration p99 1 min 0 s" in hour
    assert "Queue wait p50 50 ms" in hour
    assert "From 104 runs." in hour
    day = page(stage, "/functions/app-pay?last=24h")
    about = re.search(r"Runs in 24h about ([\d,]+)", day)
    assert about
    assert int(about[1].replace(",", "")) == pytest.approx(1_104, rel=0.05)
    assert "Duration p50 9.0 s" in day
    assert "Of each bar the newest 200 were read" in day
    assert stage.http.get("/functions/app-pay?last=2y").status_code == 400
    assert "No function 'app-none' is registered" in text_of(stage.http.get("/functions/app-none"))


@sqlite
def test_buttons_pause_resume_drain_and_invoke(stage: Stage) -> None:
    @stage.bench.function("pay", trigger=inngest.TriggerEvent(event="shop/paid"))
    def pay(ctx: inngest.ContextSync) -> Any:
        return ctx.event.data["amount"]

    register(stage)
    here = "/functions/app-pay"
    assert "new runs are held until it is resumed" in press(stage, f"{here}/pause", mode="hold")
    held = stage.start("shop/paid", amount=1)
    assert "held until the function is resumed" in page(stage, here)
    assert "The function starts runs again." in press(stage, f"{here}/resume")
    stage.bench.advance(seconds=1)
    assert stage.bench.get(held).output == 1
    assert "paused new runs are skipped" in press(stage, f"{here}/pause", mode="skip")
    refused = press(stage, f"{here}/invoke", data='{"amount": 2}')
    assert "The function does not run for this call" in refused
    assert "drained" in press(stage, f"{here}/drain")
    press(stage, f"{here}/resume")
    assert "no JSON" in press(stage, f"{here}/invoke", data="{amount")
    assert "a JSON object" in press(stage, f"{here}/invoke", data="[1]")
    called = press(stage, f"{here}/invoke", data='{"amount": 2}')
    assert "The function is called: this is its run." in called
    stage.drain()
    [run] = [row for row in stage.bench.rows(runs.schema.run) if row.output == "2"]
    assert run.id in called
    assert stage.http.post(f"{here}/pause", data={"mode": "never"}).status_code == 400


@sqlite
def test_a_function_is_archived_when_it_is_gone_from_the_code(stage: Stage) -> None:
    @stage.bench.function("pay")
    def pay(ctx: inngest.ContextSync) -> None: ...

    register(stage)
    assert "is in the code" in press(stage, "/functions/app-pay/archive")
    with stage.bench.database.transaction() as connection:
        row = functions.get(connection, "app-pay")
        assert row is not None
        row = functions.FunctionRow(**{**{name: getattr(row, name) for name in row.__slots__}, "id": "app-old/one"})
        functions.save(connection, row, [])
    assert "Gone from the code?" in page(stage, "/functions/app-old/one")
    assert "Gone from the code?" not in page(stage, "/functions/app-pay")
    assert "The function is archived: it starts no more runs" in press(stage, "/functions/app-old/one/archive")
    assert "The function is archived already." in press(stage, "/functions/app-old/one/archive")
    assert "app-old/one" not in page(stage, "/functions")
    assert "app-old/one" in page(stage, "/functions?archived=1")


@sqlite
@pytest.mark.brokers("valkey")
def test_limits_are_shown_set_for_a_while_and_reset(database_url: str, redis_url: str) -> None:
    bench = Bench(database_url, inngest_redis_url=redis_url)

    @bench.function(
        "pay",
        trigger=inngest.TriggerEvent(event="shop/paid"),
        concurrency=[inngest.Concurrency(limit=1, key="event.data.customer")],
        throttle=inngest.Throttle(limit=20, period=timedelta(minutes=1)),
    )
    def pay(ctx: inngest.ContextSync) -> None:
        ctx.step.sleep("rest", timedelta(minutes=5))

    here = "/functions/app-pay"
    with staged(bench) as stage:
        shown = page(stage, here)
        assert "concurrency.0 for each event.data.customer at most 1 step at a time" in shown
        assert "Set a limit for a while" in shown
        said = press(stage, f"{here}/limits", **{"policy": "throttle", "limit": "5", "period": "30s", "for": "2h"})
        assert "throttle is 5 for 2h." in said
        assert "at most 5 starts in 30s" in said
        assert "in the code: at most 20 starts in 1m" in said
        assert "not a duration" in press(stage, f"{here}/limits", **{"policy": "throttle", "limit": "5", "for": "long"})
        assert "has no limit 'budget' in its code" in press(stage, f"{here}/limits", policy="budget", limit="5")
        assert "limit: concurrency.0 takes a whole number" in press(
            stage, f"{here}/limits", policy="concurrency.0", limit="1.5"
        )
        assert "in the code" not in press(stage, f"{here}/limits/reset", policy="throttle")
    bench.close()
