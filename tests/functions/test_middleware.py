"""Middleware around a run: the documented order, and the same view of the data hot and hop by hop."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

import inngest_celery as inngest
from inngest_celery.store.rows import RunStatus
from tests.functions.bench import Bench

pytestmark = pytest.mark.databases("sqlite")


def recorder(log: list[str], name: str, base: type) -> type:
    """Make a middleware that notes which of its hooks are called, but does not transform anything."""

    def note(hook: str) -> Any:
        if base is inngest.MiddlewareSync:

            def call(self: Any, *args: object) -> None:
                log.append(f"{name}.{hook}")

            return call

        async def call_async(self: Any, *args: object) -> None:
            log.append(f"{name}.{hook}")

        return call_async

    hooks = ("before_execution", "after_execution", "before_response", "before_send_events", "after_send_events")
    return type(name, (base,), {hook: note(hook) for hook in hooks})


def transformer(log: list[str], name: str, base: type) -> type:
    """As :func:`recorder`, with the two hooks that may change what goes in and comes out."""
    made = recorder(log, name, base)

    def note(hook: str) -> Any:
        if base is inngest.MiddlewareSync:

            def call(self: Any, *args: object) -> None:
                log.append(f"{name}.{hook}")

            return call

        async def call_async(self: Any, *args: object) -> None:
            log.append(f"{name}.{hook}")

        return call_async

    return type(name, (made,), {hook: note(hook) for hook in ("transform_input", "transform_output")})


@pytest.mark.parametrize("base", [inngest.Middleware, inngest.MiddlewareSync])
def test_order_in_an_execution_that_sends_events(bench: Bench, base: type) -> None:
    log: list[str] = []
    bench.client.add_middleware(transformer(log, "1", base))

    @bench.function(middleware=[transformer(log, "2", base)])
    async def fn(ctx: inngest.Context) -> None:
        await ctx.step.send_event("tell", inngest.Event(name="test/told"))

    bench.run()
    first = log[: log.index("2.before_response") + 1]
    if not bench.hot:
        # The first execution only finds the step; the second one runs it.
        second = log[len(first) :]
        first = second[: second.index("2.before_response") + 1]
    order = [
        "1.transform_input",
        "2.transform_input",
        "1.before_execution",
        "2.before_execution",
        "1.before_send_events",
        "2.before_send_events",
        "2.after_send_events",
        "1.after_send_events",
        "2.after_execution",
        "1.after_execution",
        "2.transform_output",
        "1.transform_output",
    ]
    assert first[: len(order)] == order
    assert log[-2:] == ["1.before_response", "2.before_response"]


def test_hooks_of_a_sync_function(bench: Bench) -> None:
    log: list[str] = []
    bench.client.add_middleware(transformer(log, "m", inngest.MiddlewareSync))

    @bench.function()
    def fn(ctx: inngest.ContextSync) -> str:
        return ctx.step.run("step", lambda: log.append("body") or "done")

    assert bench.output() == "done"
    at = log.index("body")
    assert log[at - 2 : at + 3] == [
        "m.transform_input",
        "m.before_execution",
        "body",
        "m.after_execution",
        "m.transform_output",
    ]
    assert log[-1] == "m.before_response"


def test_async_middleware_of_a_sync_function_says_what_is_wrong(bench: Bench) -> None:
    bench.client.add_middleware(recorder([], "m", inngest.Middleware))

    @bench.function(retries=0)
    def fn(ctx: inngest.ContextSync) -> None:
        pass

    assert bench.error()["code"] == "async_unsupported"


def test_before_execution_comes_once_a_step_is_new(bench: Bench) -> None:
    log: list[str] = []
    bench.client.add_middleware(recorder(log, "m", inngest.MiddlewareSync))

    @bench.function()
    async def fn(ctx: inngest.Context) -> None:
        log.append("function")
        await ctx.step.run("first", lambda: log.append("first"))
        await ctx.step.sleep("nap", 1000)
        log.append("slept")
        await ctx.step.run("second", lambda: log.append("second"))

    bench.output()
    assert log.index("m.before_execution") < log.index("function") < log.index("first")
    slept = log.index("slept")
    assert "m.before_execution" in log[slept - 2 : slept], "after the last memo, before the code that follows it"


class Encryption(inngest.MiddlewareSync):
    """Turns outputs into text that only it can read."""

    def transform_input(self, ctx: Any, function: Any, steps: Any) -> None:
        for memo in steps.values():
            if isinstance(memo.data, str) and memo.data.startswith("secret:"):
                memo.data = json.loads(base64.b64decode(memo.data.removeprefix("secret:")))

    def transform_output(self, result: Any) -> None:
        if result.step is not None and result.error is None:
            result.output = "secret:" + base64.b64encode(json.dumps(result.output).encode()).decode()


def test_encryption(bench: Bench) -> None:
    seen: list[Any] = []
    bench.client.add_middleware(Encryption)

    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        user = await ctx.step.run("user", lambda: {"name": "Ada"})
        seen.append(user)
        await ctx.step.sleep("nap", 1000)
        return await ctx.step.run("greet", lambda: f"hello {user['name']}")

    run = bench.run()
    assert bench.output(run) == "hello Ada"
    assert all(user == {"name": "Ada"} for user in seen)
    assert not [step for step in bench.steps(run) if "Ada" in step.memo]


def test_encryption_in_parallel_steps(bench: Bench) -> None:
    bench.client.add_middleware(Encryption)

    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        return list(
            await ctx.group.parallel(
                tuple(lambda n=n: ctx.step.run(str(n), lambda: bench.calls.update([str(n)]) or n) for n in range(3))
            )
        )

    assert bench.output() == [0, 1, 2]
    assert set(bench.calls.values()) == {1}


@pytest.mark.parametrize("kind", ["step error", "function error"])
def test_transform_output_sees_and_changes_errors(bench: Bench, kind: str) -> None:
    class Translate(inngest.MiddlewareSync):
        def transform_output(self, result: Any) -> None:
            if isinstance(result.error, ValueError):
                result.error = inngest.NonRetriableError("translated")

    bench.client.add_middleware(Translate)

    @bench.function(retries=3)
    async def fn(ctx: inngest.Context) -> None:
        def fail() -> None:
            bench.calls["fail"] += 1
            raise ValueError("original")

        await ctx.step.run("step", fail) if kind == "step error" else fail()

    assert bench.error()["message"] == "translated"
    assert bench.calls == {"fail": 1}


@pytest.mark.parametrize(
    "hook", ["transform_input", "before_execution", "after_execution", "transform_output", "before_response"]
)
def test_a_failing_hook_is_an_error_that_is_retried(bench: Bench, hook: str) -> None:
    def fail(self: Any, *args: object) -> None:
        bench.calls["hook"] += 1
        if bench.calls["hook"] == 1:
            raise ValueError("in the hook")

    bench.client.add_middleware(type("Failing", (inngest.MiddlewareSync,), {hook: fail}))

    @bench.function(retries=2)
    async def fn(ctx: inngest.Context) -> str:
        return await ctx.step.run("step", lambda: "done")

    run = bench.run()
    assert bench.output(run) == "done"
    [attempt] = bench.attempts(run)
    assert "in the hook" in attempt.error


@pytest.mark.parametrize("hook", ["transform_input", "before_execution", "transform_output", "before_response"])
def test_a_hook_that_always_fails_ends_the_run(bench: Bench, hook: str) -> None:
    def fail(self: Any, *args: object) -> None:
        raise ValueError("in the hook")

    bench.client.add_middleware(type("Failing", (inngest.MiddlewareSync,), {hook: fail}))

    @bench.function(retries=1)
    async def fn(ctx: inngest.Context) -> str:
        return await ctx.step.run("step", lambda: "done")

    run = bench.run()
    bench.advance(days=1)
    ended = bench.get(run)
    assert ended.status is RunStatus.FAILED
    assert ended.output["message"] == "in the hook"  # type: ignore[index]


def test_transform_input_changes_the_event(bench: Bench) -> None:
    class Stamp(inngest.MiddlewareSync):
        def transform_input(self, ctx: Any, function: Any, steps: Any) -> None:
            ctx.event.data = {**ctx.event.data, "stamp": function.id}

    bench.client.add_middleware(Stamp)

    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        await ctx.step.run("step", lambda: None)
        return ctx.event.data

    run = bench.run(n=1)
    assert run.output == {"n": 1, "stamp": "app-fn"}


def test_each_execution_has_instances_of_its_own(bench: Bench) -> None:
    made: list[int] = []

    class Own(inngest.MiddlewareSync):
        def __init__(self, client: Any, raw_request: object) -> None:
            super().__init__(client, raw_request)
            made.append(id(self))

    @bench.function(middleware=[Own])
    async def fn(ctx: inngest.Context) -> None:
        await ctx.step.sleep("nap", 1000)

    bench.output()
    assert len(made) >= 2


def test_middleware_of_the_function_holds_for_its_failure_handler(bench: Bench) -> None:
    log: list[str] = []

    async def on_failure(ctx: inngest.Context) -> None:
        log.append("handler")

    @bench.function(retries=0, on_failure=on_failure, middleware=[recorder(log, "m", inngest.MiddlewareSync)])
    async def fn(ctx: inngest.Context) -> None:
        raise ValueError

    bench.run()
    assert log[log.index("handler") - 1] == "m.before_execution"
