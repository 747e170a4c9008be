"""A function without effects: what its steps give in the shadow of the code that it is to replace."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from celery import Celery

import inngest_celery as inngest
from inngest_celery.sdk.cutover import BEGUN, Shares
from inngest_celery.store.rows import RunStatus
from inngest_celery.worker import cutover
from inngest_celery.worker.runtime import runtime_of
from tests.functions.bench import Bench

pytestmark = pytest.mark.databases("sqlite")


def shadow(bench: Bench, function: inngest.Function[Any], **options: Any) -> Any:
    """Let a function run in the shadow of a task, and give the run."""
    bench.client.cutover(function, **options)(bench.app.task(name="old", shared=False)(old))
    return bench.run(BEGUN, number=3, _inngest={"shadow": function.id})


def test_no_step_has_an_effect(bench: Bench) -> None:
    def effect(*_: object) -> None:
        raise AssertionError

    @bench.function("callee")
    async def callee(ctx: inngest.Context) -> None: ...

    @bench.function("fn", trigger=inngest.TriggerEvent(event="test/never"))
    async def fn(ctx: inngest.Context) -> list[object]:
        step = ctx.step
        user = await step.run("load", lambda: {"name": "Ada"})
        await step.sleep("a year", timedelta(days=365))
        mailed = await step.run("mail", effect, user["name"], 3)
        booked = await step.transaction("book", effect, "room")
        answer = await step.wait_for_event("answer", event="test/answer", timeout=timedelta(days=3))
        silence = await step.wait_for_event("more", event="test/more", timeout=timedelta(days=3))
        called = await step.invoke("call", function=callee)
        sent = await step.send_event("tell", inngest.Event(name="test/go"))
        both = await ctx.group.parallel((lambda: step.run("left", effect), lambda: step.run("right", effect)))
        assert answer is not None
        return [mailed, booked, answer.data["ok"], silence, called, sent, list(both)]

    run = shadow(
        bench,
        fn,
        execute=["load"],
        stubs={
            "mail": lambda name, times: f"{name} {times}",
            "book": lambda room: f"no {room}",
            "answer": inngest.Event(name="test/answer", data={"ok": True}),
            "more": None,
            "call": {"id": 7},
            "left": 1,
            "right": 2,
        },
    )
    assert run.status is RunStatus.COMPLETED, run
    assert run.output == ["Ada 3", "no room", True, None, {"id": 7}, [], [1, 2]]
    assert bench.events("test/go") == []
    assert bench.inline.runs.list(function_id="app-callee") == []


def test_a_step_that_nothing_was_said_of(bench: Bench) -> None:
    @bench.function("fn")
    def fn(ctx: inngest.ContextSync) -> None:
        ctx.step.run("mail", bench.calls.update, ["mail"])

    run = shadow(bench, fn)
    assert run.status is RunStatus.FAILED
    assert run.output["code"] == "stub_missing"
    assert 'stubs={"mail": ...}' in run.output["message"]
    assert not bench.calls


def test_calls_go_the_same_way_each_time() -> None:
    app = Celery("shares", broker="memory://", set_as_current=False)
    client = inngest.Inngest(app_id="app", celery=app)

    @client.create_function(fn_id="new", trigger=inngest.TriggerEvent(event="test/go"))
    def new(ctx: inngest.ContextSync) -> None: ...

    @app.task(name="old", shared=False)  # type: ignore[untyped-decorator]
    def old(customer: int) -> None: ...

    client.cutover(new, key="args[0]")(old)
    [moving] = cutover.cutovers_of(app)

    def ways(percent: float, shadow: float = 0) -> list[Any]:
        app.__dict__["inngest_shares"] = {"old": (Shares(percent, shadow), float("inf"))}
        return [cutover._way(runtime_of(app), moving, "any id", (customer,), {}) for customer in range(2000)]

    some, more = ways(10, shadow=50), ways(30)
    assert 120 < sum(way.function for way in some) < 280
    assert 500 < sum(way.function for way in more) < 700
    # Who has moved stays.
    assert all(after.function for before, after in zip(some, more, strict=True) if before.function)
    assert 780 < sum(way.shadow for way in some) < 1020
    assert not any(way.shadow and way.function for way in some)
    assert all(way.function for way in ways(100))
    assert not any(way.function or way.shadow for way in ways(0))


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"percent": 101}, "cutover.percent"),
        ({"percent": True}, "cutover.percent"),
        ({"shadow": float("nan")}, "cutover.shadow"),
        ({"key": "args["}, "cutover.key"),
        ({"key": "event.data.x"}, "cutover.key"),
        ({"compare": 3}, "cutover.compare"),
        ({"execute": "load"}, "cutover.execute"),
        ({"execute": ["load"], "stubs": {"load": 1}}, "cutover.execute"),
    ],
)
def test_bad_input(options: dict[str, Any], path: str) -> None:
    app = Celery("bad", broker="memory://", set_as_current=False)
    client = inngest.Inngest(app_id="app", celery=app)

    @client.create_function(fn_id="new", trigger=inngest.TriggerEvent(event="test/go"))
    def new(ctx: inngest.ContextSync) -> None: ...

    with pytest.raises(inngest.FunctionConfigInvalidError) as refused:
        client.cutover(new, **options)
    assert refused.value.path == path
    with pytest.raises(inngest.FunctionConfigInvalidError):
        client.cutover(new)(3)
    with pytest.raises(inngest.FunctionConfigInvalidError):
        client.cutover(old)  # type: ignore[arg-type]


def old() -> None: ...
