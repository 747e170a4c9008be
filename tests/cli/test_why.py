"""``why`` names what a run waits for, in every state that a run can be in, and what would change it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
import sqlalchemy as sa
from celery import Celery

import inngest_celery as inngest
from inngest_celery.flow.gate import connect
from inngest_celery.store import schema
from inngest_celery.store.rows import RunStatus
from inngest_celery.testing.inline import Inline
from inngest_celery.worker.control import Control
from inngest_celery.worker.limits import Limits
from inngest_celery.worker.runs import RunInfo
from inngest_celery.worker.tasks import perform_claimed
from inngest_celery.worker.why.reason import Reason
from tests.cli.conftest import RunCli
from tests.stage import Stage, define_functions
from tests.worker_process import WorkerProcess

sqlite = pytest.mark.databases("sqlite")
# What is asked of Redis and the broker is the same on every database, and what is asked of the database on every Redis.
pytestmark = pytest.mark.brokers("valkey")
# A run that starts then gets its message now, and is not taken in hand by whoever routes its event.
SOON_MS = 30_000


@pytest.fixture
def stage(shop: Celery, database_url: str, redis_url: str) -> Iterator[Stage]:
    shop.conf.broker_url = redis_url
    client = inngest.Inngest(app_id="stage", celery=shop)
    define_functions(client)
    stage = Stage(shop, database_url)
    yield stage
    stage.close()


@pytest.fixture
def why(cli: RunCli) -> Callable[..., dict[str, Any]]:
    """Asks the command, as people and as programs, and gives the most telling reason of the latter."""

    def ask(run_id: str) -> dict[str, Any]:
        found = json.loads(cli("why", run_id, "--timeout", "0", "--json").output)
        first: dict[str, Any] = found["reasons"][0]
        told = _timeless(cli("why", run_id, "--timeout", "0").output)
        assert _timeless(first["text"]) in told
        assert _timeless(first["advice"]) in told
        assert first["advice"]
        return first

    return ask


Why = Callable[[str], dict[str, Any]]


def _timeless(text: str) -> str:
    """Give a text as it is whenever one asks, in however many lines."""
    return " ".join(re.sub(r"\d+(\.\d+)? (ms|s|min|h)\b", "-", text).split())


def now_first(stage: Stage, run: RunInfo) -> Reason:
    return stage.runs.why(run.id, timeout=0).reasons[0]


# In line


def test_a_limit_on_steps(stage: Stage, why: Why) -> None:
    first, second, third = (stage.send("stage/one") for _ in range(3))
    stage.begin(first)
    assert now_first(stage, first).code == "executing"
    found = why(second.id)
    assert found["code"] == "in_line"
    assert found["in_line"] == {
        "policy": "concurrency.0",
        "key": None,
        "value": None,
        "limit": {"limit": 1},
        "taken": 1,
        "holders": [{"run_id": first.id, "step": ""}],
        "jobs_before": 0,
        "keys_before": 0,
        "is_set": False,
        "set_until": None,
    }
    assert "1 of 1 place is taken, by" in found["text"]
    assert "It is the next." in found["text"]
    assert "limits set stage-one concurrency.0 --limit 2" in found["advice"]
    assert why(third.id)["in_line"]["jobs_before"] == 1


def test_a_limit_for_each_key(stage: Stage, why: Why) -> None:
    first, second = stage.send("stage/keyed", customer="ada"), stage.send("stage/keyed", customer="ada")
    stage.begin(first)
    found = why(second.id)["in_line"]
    assert (found["key"], found["value"]) == ("event.data.customer", '"ada"')
    other = stage.send("stage/keyed", customer="bob")
    assert now_first(stage, other).code == "announced"


@sqlite
def test_the_advice_helps(stage: Stage, why: Why, cli: RunCli) -> None:
    first, second = stage.send("stage/one"), stage.send("stage/one")
    stage.begin(first)
    advice = why(second.id)["advice"]
    command = advice.partition("inngest-celery ")[2].split()
    cli(*command)
    assert now_first(stage, second).code == "announced"
    stage.begin(second)
    third = stage.send("stage/one")
    found = why(third.id)
    assert found["in_line"]["is_set"]
    assert "set by an operator, until it is reset" in found["text"]
    assert "limits reset stage-one concurrency.0" in found["advice"]


@sqlite
def test_a_limit_that_is_set_for_a_while(stage: Stage, why: Why) -> None:
    Limits(stage.app).set("stage-one", "concurrency.0", 0, for_ms=3_600_000)
    run = stage.send("stage/one")
    found = why(run.id)
    assert "at most 0 steps at a time (set by an operator, for another" in found["text"]
    assert found["in_line"]["set_until"]


def test_a_limit_on_runs(stage: Stage, why: Why) -> None:
    first, second = stage.send("stage/runs"), stage.send("stage/runs")
    stage.begin(first)
    found = why(second.id)
    assert found["in_line"]["policy"] == "run_concurrency.0"
    assert found["in_line"]["holders"] == [{"run_id": first.id, "step": ""}]
    assert "at most 1 run at a time" in found["text"]


def test_a_throttle_tells_when_its_turn_comes(stage: Stage, why: Why) -> None:
    runs = [stage.send("stage/paced") for _ in range(4)]
    stage.work(runs[0])
    started = stage.clock.now()
    expected = [started + minutes * 60_000 for minutes in (1, 2, 3)]
    told = [now_first(stage, run).next_at for run in runs[1:]]
    assert [at is not None and abs(at - wanted) < 5_000 for at, wanted in zip(told, expected, strict=True)] == [
        True
    ] * 3
    assert "at most 1 start in 1m" in why(runs[1].id)["text"]
    # And so it is.
    stage.pass_time(timedelta(minutes=1, seconds=1))
    assert stage.tick() == [runs[1].id]


def test_a_spent_budget(stage: Stage, why: Why) -> None:
    first = stage.send("stage/costly", customer="ada", cost=12)
    stage.work(first)
    assert stage.runs.get(first.id).status is RunStatus.COMPLETED
    second = stage.send("stage/costly", customer="ada", cost=1)
    found = why(second.id)
    assert (found["in_line"]["policy"], found["in_line"]["taken"]) == ("budget", 12)
    assert "12 of 10 is spent." in found["text"]
    assert found["next_at"]
    assert now_first(stage, stage.send("stage/costly", customer="bob")).code == "announced"


@sqlite
def test_places_in_line_go_round_the_keys(stage: Stage) -> None:
    """One limit for the function, and another for each customer: of three keys, each gets a turn."""
    client = inngest.Inngest(app_id="round", celery=stage.app)

    @client.create_function(
        fn_id="fair",
        trigger=inngest.TriggerEvent(event="round/fair"),
        concurrency=[inngest.Concurrency(limit=1), inngest.Concurrency(limit=1, key="event.data.key")],
    )
    def fair(ctx: inngest.ContextSync) -> None: ...

    stage = Stage(stage.app, stage.app.conf.inngest_database_url)
    running = stage.send("round/fair", key="z")
    claimed, slot = stage.begin(running)
    flood = [stage.send("round/fair", key="a") for _ in range(5)]
    late = stage.send("round/fair", key="b")
    found = now_first(stage, late).in_line
    assert found is not None
    # One of the flood has its turn before it, not all five.
    assert (found.jobs_before, found.keys_before) == (1, 1)
    last = now_first(stage, flood[-1]).in_line
    assert last is not None
    assert last.jobs_before == 5
    told = {run.id: now_first(stage, run).in_line for run in [*flood, late]}
    expected = sorted(told, key=lambda run_id: told[run_id].jobs_before if told[run_id] else -1)
    order = []
    while slot is not None:
        perform_claimed(stage.runtime, claimed, "task", slot)
        called = [run for run in [*flood, late] if _is_called(stage, run)]
        if not called:
            break
        [following] = called
        order.append(following.id)
        claimed, slot = stage.begin(following)
    assert order == expected


def _is_called(stage: Stage, run: RunInfo) -> bool:
    return stage.runs.get(run.id).status is RunStatus.SCHEDULED and now_first(stage, run).code == "announced"


@sqlite
def test_redis_is_away(stage: Stage, why: Why, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = stage.send("stage/one"), stage.send("stage/one")
    stage.begin(first)
    monkeypatch.setattr(stage.runtime.admission.gate, "client", connect("redis://127.0.0.1:1"))
    found = why(second.id)
    assert found["code"] == "redis_unreachable"
    assert "concurrency.0" in found["text"]
    assert "1 job(s) of the function are in the hands of workers, and 1 are due" in found["text"]
    assert now_first(stage, first).code == "executing"


@sqlite
def test_redis_has_forgotten(stage: Stage, why: Why, redis_url: str) -> None:
    run = stage.send("stage/one")
    redis.Redis.from_url(redis_url).flushdb()
    assert why(run.id)["code"] == "limits_lost"


@sqlite
def test_there_is_no_redis(stage: Stage, why: Why) -> None:
    run = stage.send("stage/one")
    del stage.runtime.__dict__["admission"]
    stage.runtime.__dict__["redis_url"] = None
    assert why(run.id)["code"] == "redis_missing"


@sqlite
def test_nobody_has_put_it_in_line(stage: Stage, why: Why) -> None:
    stage.runtime.sends_hints = False
    assert why(stage.send("stage/one").id)["code"] == "not_in_line"


# Messages


def test_a_message_that_nobody_has_taken(stage: Stage, why: Why) -> None:
    run = stage.send("stage/one")
    found = why(run.id)
    assert (found["code"], found["queue"]) == ("announced", "celery")
    # One for its route, which the test has done itself.
    assert "2 message(s) wait in that queue." in found["text"]
    free = stage.send("stage/free", ts=stage.clock.now() + SOON_MS)
    stage.pass_time(timedelta(milliseconds=SOON_MS + 1000))
    found = why(free.id)
    assert found["code"] == "announced"
    assert "ms ago" in found["text"] or " s ago" in found["text"]


@sqlite
def test_no_worker_answers(stage: Stage, cli: RunCli) -> None:
    run = stage.send("stage/one")
    found = json.loads(cli("why", run.id, "--timeout", "0.2", "--json").output)["reasons"][0]
    assert found["code"] == "queue_without_worker"
    assert "No worker answers." in found["text"]


@sqlite
def test_no_worker_consumes_the_queue(
    stage: Stage, redis_url: str, database_url: str, start_worker: Callable[..., WorkerProcess]
) -> None:
    env = {"BROKER": redis_url, "DATABASE": database_url}
    worker = start_worker("tests.worker.startup_app", env=env, pool="threads", queues=["mail"])
    run = stage.send("stage/free", ts=stage.clock.now() + SOON_MS)
    stage.pass_time(timedelta(milliseconds=SOON_MS + 1000))
    [found] = stage.runs.why(run.id).reasons
    assert found.code == "queue_without_worker"
    assert "Of the workers that answer, none consumes it." in found.text
    assert found.advice == "Start a worker with -Q celery."
    with stage.runtime.database.transaction() as connection:
        connection.execute(sa.update(schema.job).values(queue="mail"))
    [found] = stage.runs.why(run.id).reasons
    assert found.code == "announced"
    assert worker.name in found.text


@sqlite
def test_many_messages_in_vain(stage: Stage, why: Why) -> None:
    run = stage.send("stage/free", ts=stage.clock.now() + SOON_MS)
    stage.pass_time(timedelta(milliseconds=SOON_MS + 1000))
    with stage.runtime.database.transaction() as connection:
        connection.execute(sa.update(schema.job).values(hints=5, sweep_at=stage.clock.now() + 1000))
    found = why(run.id)
    assert found["code"] == "unanswered"
    assert "That was number 5." in found["text"]
    assert "inngest-celery doctor" in found["advice"]


@sqlite
def test_the_broker_is_away(stage: Stage, why: Why) -> None:
    run = stage.send("stage/one")
    stage.app.conf.broker_url = "redis://127.0.0.1:1/0"
    assert why(run.id)["code"] == "broker_unreachable"


@sqlite
def test_nobody_sweeps(stage: Stage, why: Why) -> None:
    run = stage.send("stage/one")
    stage.pass_time(timedelta(hours=1))
    found = why(run.id)
    assert found["code"] == "overdue"
    assert "inngest-celery doctor" in found["advice"]


@sqlite
def test_its_worker_is_lost(stage: Stage, why: Why) -> None:
    run = stage.send("stage/one")
    stage.begin(run)
    stage.pass_time(timedelta(seconds=31))
    found = why(run.id)
    assert found["code"] == "worker_lost"
    assert found["worker"] == stage.runtime.worker_name


@sqlite
def test_an_event_that_is_not_routed(stage: Stage, cli: RunCli) -> None:
    [event_id] = stage.client.send_sync(inngest.Event(name="stage/one"))
    found = json.loads(cli("why", event_id, "--timeout", "0", "--json").output)
    assert found["run"] is None
    assert [reason["code"] for reason in found["reasons"]] == ["announced"]
    assert "an event that is still to be routed" in cli("why", event_id, "--timeout", "0").output


# What the function itself waits for


def test_a_run_through_its_life(inline: Inline, cli: RunCli, why: Why) -> None:
    [run] = inline.send(inngest.Event(name="shop/ordered", data={"id": 1}))
    found = why(run.id)
    assert (found["code"], found["step"]) == ("retrying", "charge")
    assert "waits for attempt 2: ValueError: the bank is closed" in found["text"]
    inline.advance(timedelta(minutes=5))
    found = why(run.id)
    assert (found["code"], found["step"]) == ("sleeping", "cool down")
    assert found["next_at"]
    inline.advance(timedelta(hours=2))
    found = why(run.id)
    assert (found["code"], found["step"]) == ("waiting_for_event", "paid")
    assert "1 == async.data.id" in found["text"]
    assert "inngest-celery send shop/paid" in found["advice"]
    inline.send(inngest.Event(name="shop/paid", data={"id": 1}))
    assert why(run.id)["code"] == "completed"


@sqlite
def test_a_start_that_is_yet_to_come(inline: Inline, why: Why) -> None:
    ahead = inline.clock.now() + 3_600_000
    [run] = inline.send(inngest.Event(name="shop/ordered", data={"id": 1}, ts=ahead))
    assert why(run.id)["code"] == "scheduled"


def test_a_call_of_another_function(shop: Celery, inline: Inline, why: Why) -> None:
    client = inngest.Inngest(app_id="calls", celery=shop)

    @client.create_function(fn_id="inner", trigger=inngest.TriggerEvent(event="calls/inner"))
    def inner(ctx: inngest.ContextSync) -> None:
        ctx.step.sleep("long", timedelta(days=1))

    @client.create_function(fn_id="outer", trigger=inngest.TriggerEvent(event="calls/outer"))
    def outer(ctx: inngest.ContextSync) -> None:
        ctx.step.invoke("ask", function=inner)

    inline = Inline(shop, database_url=shop.conf.inngest_database_url)
    [run] = inline.send(inngest.Event(name="calls/outer"))
    [called] = inline.runs.list(function_id="calls-inner")
    found = why(run.id)
    assert (found["code"], found["step"], found["run_id"]) == ("invoking", "ask", called.id)
    assert f"inngest-celery why {called.id}" in found["advice"]
    assert why(called.id)["code"] == "sleeping"


def test_several_steps_each_have_their_reason(shop: Celery, inline: Inline, cli: RunCli) -> None:
    client = inngest.Inngest(app_id="wide", celery=shop)

    @client.create_function(
        fn_id="wide",
        trigger=inngest.TriggerEvent(event="wide/go"),
        timeouts=inngest.Timeouts(finish=timedelta(days=9)),
    )
    async def wide(ctx: inngest.Context) -> None:
        async def fail() -> None:
            raise ValueError("not today")

        await ctx.group.parallel(
            (
                lambda: ctx.step.sleep("nap", timedelta(days=1)),
                lambda: ctx.step.run("fail", fail),
                lambda: ctx.step.wait_for_event("word", event="wide/word", timeout=timedelta(days=1)),
            )
        )

    inline = Inline(shop, database_url=shop.conf.inngest_database_url)
    [run] = inline.send(inngest.Event(name="wide/go"))
    found = json.loads(cli("why", run.id, "--json").output)["reasons"]
    assert [(reason["code"], reason["step"]) for reason in found] == [
        ("retrying", "fail"),
        ("waiting_for_event", "word"),
        ("sleeping", "nap"),
        ("deadline", ""),
    ]


@sqlite
def test_a_paused_function(shop: Celery, inline: Inline, why: Why, cli: RunCli) -> None:
    Control(shop).pause("shop-order", mode="hold")
    [held] = inline.send(inngest.Event(name="shop/ordered", data={"id": 1}))
    found = why(held.id)
    assert found["code"] == "function_paused"
    cli(*found["advice"].partition("inngest-celery ")[2].split())
    inline.drain()
    assert why(held.id)["code"] == "retrying"
    Control(shop).pause("shop-order", mode="skip")
    [skipped] = inline.send(inngest.Event(name="shop/ordered", data={"id": 2}))
    found = why(skipped.id)
    assert found["code"] == "skipped"
    assert "the function was paused" in found["text"]
    assert "functions resume shop-order" in found["advice"]


# Ended


@sqlite
def test_how_runs_end(inline: Inline, why: Why, cli: RunCli) -> None:
    [failed] = inline.send(inngest.Event(name="shop/refused"))
    found = why(failed.id)
    assert found["code"] == "failed"
    assert "ValueError: no [brackets] here" in found["text"]
    [cancelled] = inline.send(inngest.Event(name="shop/ordered", data={"id": 1}))
    inline.runs.cancel(cancelled.id, "by mistake")
    assert why(cancelled.id)["text"] == "It was cancelled: by mistake."


def test_a_rate_limit_has_dropped_it(stage: Stage, why: Why) -> None:
    stage.send("stage/rated")
    found = why(stage.send("stage/rated").id)
    assert found["code"] == "skipped"
    assert "rate limit was reached" in found["text"]
    assert "limits set stage-rated rate_limit" in found["advice"]


@sqlite
@pytest.mark.parametrize(
    ("reason", "text", "advice"),
    [
        ("FunctionDrained", "was being drained", "functions resume"),
        ("Singleton: run R1 has not ended", "singleton: run R1 has not ended", "Wait for that run"),
        ("Idempotency: run R1 was first", "idempotency: run R1 was first", "24 hours"),
        ("Debounced: event E1 takes its place", "debounced: event E1", "See the run"),
    ],
)
def test_other_ways_of_being_skipped(stage: Stage, why: Why, reason: str, text: str, advice: str) -> None:
    run = stage.send("stage/free")
    with stage.runtime.database.transaction() as connection:
        skipped = {"status": RunStatus.SKIPPED.value, "reason": reason}
        connection.execute(sa.update(schema.run).where(schema.run.c.id == run.id).values(**skipped))
    found = why(run.id)
    assert text in found["text"]
    assert advice in found["advice"]


@sqlite
def test_there_is_no_such_run(inline: Inline, cli: RunCli) -> None:
    assert "(run_not_found)" in cli("why", "01NOWHERE", status=3).output
