"""Triggers: which events start which functions, once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

import inngest_celery as inngest
from inngest_celery.store import schema
from inngest_celery.store.rows import RunStatus
from tests.functions.bench import Bench

only_sqlite = pytest.mark.databases("sqlite")


def on(event: str, expression: str | None = None) -> inngest.TriggerEvent:
    return inngest.TriggerEvent(event=event, expression=expression)


def started(bench: Bench, name: str, **data: Any) -> list[str]:
    return sorted(run.function_id for run in bench.send(name, **data))


@pytest.mark.parametrize("event", ["shop/order.placed", "shop/order.paid", "shop/user", "shopping/order.placed"])
def test_names_and_wildcards(bench: Bench, event: str) -> None:
    for fn_id, trigger in {"exact": "shop/order.placed", "orders": "shop/order.*", "shop": "shop/*"}.items():

        @bench.function(fn_id, trigger=on(trigger))
        async def fn(ctx: inngest.Context) -> None:
            pass

    expected = {
        "shop/order.placed": ["app-exact", "app-orders", "app-shop"],
        "shop/order.paid": ["app-orders", "app-shop"],
        "shop/user": ["app-shop"],
        "shopping/order.placed": [],
    }
    assert started(bench, event) == expected[event]


def test_one_run_though_several_triggers_match(bench: Bench) -> None:
    @bench.function(trigger=[on("shop/order"), on("shop/*"), on("shop/order", "event.data.total > 1")])
    async def fn(ctx: inngest.Context) -> None:
        pass

    assert started(bench, "shop/order", total=5) == ["app-fn"]


@only_sqlite
def test_any_of_several_triggers(bench: Bench) -> None:
    @bench.function(trigger=[on("a", "event.data.n == 1"), on("b"), on("a", "event.data.n == 2")])
    async def fn(ctx: inngest.Context) -> None:
        pass

    assert [len(started(bench, name, n=n)) for name, n in (("a", 1), ("a", 2), ("a", 3), ("b", 3), ("c", 1))] == [
        1,
        1,
        0,
        1,
        0,
    ]


@pytest.mark.parametrize(
    ("expression", "matches"),
    [
        ("event.data.n == 1", True),
        ("event.data.n == 2", False),
        ("event.data.n", False),
        ("event.data.missing.deep == 1", False),
        ("event.data.n / 0 == 1", False),
        ("event.data.text.matches('^a')", True),
        ("event.name == 'shop/order'", True),
    ],
)
@only_sqlite
def test_expressions(bench: Bench, expression: str, matches: bool) -> None:
    @bench.function(trigger=on("shop/order", expression))
    async def fn(ctx: inngest.Context) -> None:
        pass

    assert started(bench, "shop/order", n=1, text="abc") == (["app-fn"] if matches else [])


def test_an_events_id_counts_for_a_day(bench: Bench) -> None:
    for fn_id in ("one", "two"):

        @bench.function(fn_id)
        async def fn(ctx: inngest.Context) -> None:
            pass

    def send() -> int:
        return len(bench.inline.send(inngest.Event(name="test/go", id="order-7")))

    assert send() == 2
    assert send() == 0
    bench.advance(hours=23, minutes=59)
    assert send() == 0
    bench.advance(minutes=2)
    assert send() == 2
    assert len(bench.events("test/go")) == 4


@only_sqlite
def test_an_event_of_the_future_starts_then(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> int:
        return bench.now

    at = bench.now + 86_400_000
    [run] = bench.inline.send(inngest.Event(name="test/go", ts=at))
    assert run.status is RunStatus.SCHEDULED
    bench.advance(hours=23)
    assert bench.get(run).status is RunStatus.SCHEDULED
    assert at <= bench.output(run) <= at + 10_000


@only_sqlite
def test_many_events_in_one_send(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        return ctx.event.data["n"]

    runs = bench.inline.send(*(inngest.Event(name="test/go", data={"n": n}) for n in range(20)))
    assert [bench.get(run).output for run in runs] == list(range(20))


def test_a_duplicate_send_in_a_loop_of_functions_ends(bench: Bench) -> None:
    """A function that sends the event which starts it goes on for ever unless the id stops it."""

    @bench.function()
    async def fn(ctx: inngest.Context) -> None:
        await ctx.step.send_event("again", inngest.Event(name="test/go", id="the-same"))

    bench.send()
    assert len(bench.inline.runs.list()) == 2


# Lifecycle events


@pytest.fixture
def heard(bench: Bench) -> list[tuple[str, dict[str, Any]]]:
    """Every lifecycle event, by a function that is triggered by all of them."""
    found: list[tuple[str, dict[str, Any]]] = []

    @bench.function("listener", trigger=on("inngest/function.*"))
    async def listener(ctx: inngest.Context) -> None:
        found.append((ctx.event.name, dict(ctx.event.data)))

    return found


def test_a_finished_run_is_told_of(bench: Bench, heard: list[tuple[str, dict[str, Any]]]) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        return {"total": 7}

    run = bench.run(order=1)
    [(name, data)] = heard
    assert name == "inngest/function.finished"
    assert (data["function_id"], data["run_id"], data["result"]) == ("app-fn", run.id, {"total": 7})
    assert (data["event"]["name"], data["event"]["data"]) == ("test/go", {"order": 1})
    assert data["events"] == [data["event"]]
    assert data["_inngest"]["status"] == "Completed"
    assert "error" not in data


def test_a_failed_run_is_told_of(bench: Bench, heard: list[tuple[str, dict[str, Any]]]) -> None:
    @bench.function(retries=0)
    async def fn(ctx: inngest.Context) -> None:
        raise ValueError("no")

    run = bench.run()
    assert sorted(name for name, _ in heard) == ["inngest/function.failed", "inngest/function.finished"]
    for _, data in heard:
        assert data["run_id"] == run.id
        assert (data["error"]["name"], data["error"]["message"]) == ("ValueError", "no")
        assert data["error"]["stack"].startswith("Traceback")
        assert data["_inngest"]["status"] == "Failed"
        assert "result" not in data


@only_sqlite
def test_a_cancelled_run_is_told_of(bench: Bench, heard: list[tuple[str, dict[str, Any]]]) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> None:
        await ctx.step.sleep("nap", timedelta(days=1))

    run = bench.run()
    bench.inline.runs.cancel(run.id)
    bench.inline.drain()
    told = [(name, data) for name, data in heard if data["function_id"] == "app-fn"]
    assert sorted(name for name, _ in told) == ["inngest/function.cancelled", "inngest/function.finished"]
    for _, data in told:
        assert data["error"]["message"] == "function cancelled"
        assert data["_inngest"]["status"] == "Cancelled"


def test_on_failure(bench: Bench) -> None:
    handled: list[Any] = []

    async def on_failure(ctx: inngest.Context) -> str:
        handled.append((ctx.event.name, ctx.event.data, ctx.attempt, ctx.run_id))
        return await ctx.step.run("tell", lambda: "told")

    @bench.function(retries=1, on_failure=on_failure)
    async def fn(ctx: inngest.Context) -> None:
        def fail() -> None:
            raise ValueError("no")

        await ctx.step.run("step", fail)

    run = bench.run(order=7)
    bench.error(run)
    name, data, attempt, own_id = handled[0]
    assert (name, attempt) == ("inngest/function.failed", 0)
    assert own_id != run.id
    assert (data["function_id"], data["run_id"]) == ("app-fn", run.id)
    assert (data["error"]["name"], data["error"]["message"]) == ("ValueError", "no")
    assert data["event"]["data"] == {"order": 7}
    [handler] = bench.inline.runs.list(function_id="app-fn-failure")
    assert (handler.status, handler.output) == (RunStatus.COMPLETED, "told")


@only_sqlite
def test_on_failure_is_for_its_own_function_only(bench: Bench) -> None:
    async def on_failure(ctx: inngest.Context) -> None:
        bench.calls[f"for {ctx.event.data['function_id']}"] += 1

    @bench.function("first", retries=0, on_failure=on_failure)
    async def first(ctx: inngest.Context) -> None:
        raise ValueError

    @bench.function("second", retries=0)
    async def second(ctx: inngest.Context) -> None:
        raise ValueError

    bench.send()
    assert bench.calls == {"for app-first": 1}


@only_sqlite
def test_a_failing_failure_handler_ends(bench: Bench) -> None:
    async def on_failure(ctx: inngest.Context) -> None:
        bench.calls["handler"] += 1
        raise RuntimeError("in the handler too")

    @bench.function(retries=0, on_failure=on_failure)
    async def fn(ctx: inngest.Context) -> None:
        raise ValueError("no")

    bench.run()
    bench.advance(days=1)
    [handler] = bench.inline.runs.list(function_id="app-fn-failure")
    assert handler.status is RunStatus.FAILED
    assert bench.calls == {"handler": 1}


@only_sqlite
def test_a_handler_of_all_failures_that_fails_ends(bench: Bench) -> None:
    @bench.function("all", retries=0, trigger=on("inngest/function.failed"))
    async def handler(ctx: inngest.Context) -> None:
        bench.calls["handler"] += 1
        raise RuntimeError

    @bench.function(retries=0)
    async def fn(ctx: inngest.Context) -> None:
        raise ValueError("no")

    bench.run()
    assert bench.calls == {"handler": 2}, "for the function and for the handler itself"


@pytest.mark.databases("postgres")
def test_a_start_that_a_power_failure_takes_back_is_made_again_as_the_same_run(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> str:
        return ctx.run_id

    bench.inline  # noqa: B018
    [event_id] = bench.client.send_sync(inngest.Event(name="test/go"))
    [route] = bench.rows(schema.job)
    runs = []
    for _ in range(2):
        claimed = bench.claim(event_id, "route")
        assert claimed is not None
        bench.perform(claimed)
        bench.inline.drain()
        [run] = bench.rows(schema.run)
        runs.append((run.id, run.output))
        # As the server comes up again if nothing since the event reached its disk.
        with bench.database.transaction() as connection:
            connection.execute(sa.delete(schema.run))
            connection.execute(sa.insert(schema.job), dict(route._mapping))
    assert runs[0] == runs[1]
    bench.inline.drain()
