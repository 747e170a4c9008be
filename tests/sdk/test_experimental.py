"""Runs in memory, and steps as decorators."""

from __future__ import annotations

import asyncio
import datetime
from typing import Any

import pydantic
import pytest

import inngest_celery as inngest
from inngest_celery.experimental import get_step_context, mocked, set_step_context, step
from inngest_celery.experimental.mocked import Status, Timeout, UnstubbedStepError, trigger

EVENT = inngest.Event(name="e")
TRIGGER = inngest.TriggerEvent(event="e")
Calls = list[Any]


@pytest.fixture
def client() -> mocked.Inngest:
    return mocked.Inngest(app_id="shop")


@pytest.fixture
def calls() -> Calls:
    return []


def fail_until(calls: Calls, success: int) -> Any:
    """Make a handler that raises until it is called for the ``success``-th time."""

    def handler() -> str:
        calls.append(len(calls))
        if len(calls) < success:
            raise ValueError(f"attempt {len(calls)}")
        return "done"

    return handler


def test_a_whole_async_run(client: mocked.Inngest) -> None:
    @client.create_function(fn_id="f", trigger=TRIGGER)
    async def function(ctx: inngest.Context) -> list[object]:
        async def double(value: int) -> int:
            await asyncio.sleep(0)
            return value * 2

        await ctx.step.sleep("nap", datetime.timedelta(days=3))
        await ctx.step.sleep_until("noon", datetime.datetime(2030, 1, 1))
        first = await ctx.step.run("double", double, 1)
        again = [await ctx.step.run("double", double, first), await ctx.step.run("double", double, 8)]
        group = await ctx.group.parallel((lambda: ctx.step.run("a", double, 1), lambda: ctx.step.run("b", double, 2)))
        gathered = await asyncio.gather(ctx.step.run("c", double, 3), ctx.step.run("d", double, 4))
        sent = await ctx.step.send_event("tell", [inngest.Event(name="x"), inngest.Event(name="y")])
        return [first, again, group, gathered, len(sent), ctx.event.name, ctx.attempt, ctx.max_attempts]

    result = trigger(function, EVENT, client)
    assert (result.status, result.error) == (Status.COMPLETED, None)
    assert result.output == [2, [4, 16], (2, 4), [6, 8], 2, "e", 0, 5]


def test_a_whole_sync_run(client: mocked.Inngest) -> None:
    @client.create_function(fn_id="f", trigger=TRIGGER)
    def function(ctx: inngest.ContextSync) -> list[object]:
        ctx.step.sleep("nap", 1000)
        group = ctx.group.parallel((lambda: ctx.step.run("a", lambda: 1), lambda: ctx.step.run("b", lambda: 2)))
        return [*group, [event.name for event in ctx.events]]

    assert trigger(function, [EVENT, inngest.Event(name="e2")], client).output == [1, 2, ["e", "e2"]]


def test_stubs(client: mocked.Inngest) -> None:
    @client.create_function(fn_id="f", trigger=TRIGGER)
    async def function(ctx: inngest.Context) -> list[object]:
        late = await ctx.step.wait_for_event("late", event="x", timeout=1000)
        paid = await ctx.step.wait_for_event("paid", event="x", timeout=1000)
        return [late, paid and paid.data, await ctx.step.invoke_by_id("sum", function_id="g")]

    stubs: dict[str, object] = {"late": Timeout, "paid": inngest.Event(name="x", data={"a": 1}), "sum": 3}
    assert trigger(function, EVENT, client, step_stubs=stubs).output == [None, {"a": 1}, 3]
    del stubs["sum"]
    with pytest.raises(UnstubbedStepError, match="step sum is not stubbed"):
        trigger(function, EVENT, client, step_stubs=stubs)


def test_a_missing_stub_cannot_be_caught_by_the_function(client: mocked.Inngest) -> None:
    @client.create_function(fn_id="f", trigger=TRIGGER)
    def function(ctx: inngest.ContextSync) -> str:
        try:
            ctx.step.invoke_by_id("sum", function_id="g")
        except UnstubbedStepError:
            return "caught"
        return "done"

    with pytest.raises(UnstubbedStepError):
        trigger(function, EVENT, client)


def test_steps_are_tried_again_and_done_steps_are_not(client: mocked.Inngest, calls: Calls) -> None:
    first: Calls = []
    attempts: Calls = []

    @client.create_function(fn_id="f", trigger=TRIGGER)
    def function(ctx: inngest.ContextSync) -> object:
        ctx.step.run("first", lambda: first.append(1))
        attempts.append(ctx.attempt)
        result: object = ctx.step.run("flaky", fail_until(calls, 3))
        attempts.append(ctx.attempt)
        return result

    assert trigger(function, EVENT, client).output == "done"
    assert (len(first), len(calls)) == (1, 3)
    assert attempts == [0, 1, 2, 0]


def test_a_failed_step_raises_a_step_error_that_can_be_caught(client: mocked.Inngest, calls: Calls) -> None:
    @client.create_function(fn_id="f", trigger=TRIGGER, retries=1)
    def function(ctx: inngest.ContextSync) -> list[object]:
        try:
            ctx.step.run("flaky", fail_until(calls, 9))
        except inngest.StepError as error:
            return [error.name, error.message, ctx.step.run("undo", lambda: "undone")]
        return []

    assert trigger(function, EVENT, client).output == ["ValueError", "attempt 2", "undone"]


def test_a_failed_step_that_is_not_caught_fails_the_run_with_the_original(client: mocked.Inngest, calls: Calls) -> None:
    @client.create_function(fn_id="f", trigger=TRIGGER, retries=2)
    async def function(ctx: inngest.Context) -> None:
        await ctx.step.run("flaky", fail_until(calls, 9))

    result = trigger(function, EVENT, client)
    assert result.status is Status.FAILED
    assert isinstance(result.error, ValueError)
    assert len(calls) == 3


def test_a_function_that_fails_between_steps_is_tried_again(client: mocked.Inngest, calls: Calls) -> None:
    flaky = fail_until(calls, 3)

    @client.create_function(fn_id="f", trigger=TRIGGER)
    def function(ctx: inngest.ContextSync) -> list[object]:
        return [flaky(), ctx.attempt]

    assert trigger(function, EVENT, client).output == ["done", 2]


def test_non_retriable_errors_end_it_at_once(client: mocked.Inngest, calls: Calls) -> None:
    def refuse() -> None:
        calls.append(1)
        raise inngest.NonRetriableError("no such customer")

    @client.create_function(fn_id="f", trigger=TRIGGER)
    def function(ctx: inngest.ContextSync) -> None:
        ctx.step.run("load", refuse)

    result = trigger(function, EVENT, client)
    assert isinstance(result.error, inngest.NonRetriableError)
    assert len(calls) == 1


def test_a_flaky_branch_does_not_run_the_others_twice(client: mocked.Inngest, calls: Calls) -> None:
    others: Calls = []

    async def other() -> None:
        await asyncio.sleep(0)
        others.append(1)

    @client.create_function(fn_id="f", trigger=TRIGGER)
    async def function(ctx: inngest.Context) -> tuple[object, ...]:
        return await ctx.group.parallel(
            (lambda: ctx.step.run("flaky", fail_until(calls, 3)), lambda: ctx.step.run("other", other))
        )

    assert trigger(function, EVENT, client).output == ("done", None)
    assert (len(calls), len(others)) == (3, 1)


def test_a_swallowed_suspension_is_told(client: mocked.Inngest, calls: Calls) -> None:
    @client.create_function(fn_id="f", trigger=TRIGGER)
    def function(ctx: inngest.ContextSync) -> str:
        try:
            ctx.step.run("flaky", fail_until(calls, 3))
        except BaseException:  # noqa: BLE001  the mistake that is told
            return "swallowed"
        return "done"

    error = trigger(function, EVENT, client).error
    assert isinstance(error, inngest.SuspensionSwallowedError)
    assert '"flaky"' in str(error)


def test_nested_steps_are_told(client: mocked.Inngest) -> None:
    @client.create_function(fn_id="f", trigger=TRIGGER)
    def function(ctx: inngest.ContextSync) -> None:
        ctx.step.run("outer", lambda: ctx.step.run("inner", lambda: 1))

    error = trigger(function, EVENT, client).error
    assert isinstance(error, inngest.StepNestedError)
    assert (error.step_id, error.parent_id) == ("inner", "outer")


@pytest.mark.parametrize("order", [("x", "x", "x:1"), ("x:1", "x", "x"), ("x", "x:1", "x")])
def test_colliding_ids_are_told(order: tuple[str, ...], client: mocked.Inngest) -> None:
    @client.create_function(fn_id="f", trigger=TRIGGER)
    def function(ctx: inngest.ContextSync) -> None:
        for step_id in order:
            ctx.step.run(step_id, lambda: 1)

    error = trigger(function, EVENT, client).error
    assert isinstance(error, inngest.StepIdCollisionError)
    assert error.step_id == "x:1"


def test_output_that_json_cannot_hold(client: mocked.Inngest) -> None:
    @client.create_function(fn_id="f", trigger=TRIGGER)
    def function(ctx: inngest.ContextSync) -> object:
        return ctx.step.run("load", lambda: {1, 2})

    error = trigger(function, EVENT, client).error
    assert isinstance(error, inngest.OutputUnserializableError)
    assert '"load" returned unserializable data: a set at $' in str(error)


class User(pydantic.BaseModel):
    name: str


def test_typed_steps() -> None:
    client = mocked.Inngest(app_id="shop", serializer=inngest.PydanticSerializer())

    @client.create_function(fn_id="f", trigger=TRIGGER, output_type=User)
    def function(ctx: inngest.ContextSync) -> User:
        user = ctx.step.run("load", lambda: User(name="Ada"), output_type=User)
        assert isinstance(user, User)
        return user

    assert trigger(function, EVENT, client).output == {"name": "Ada"}


@pytest.mark.anyio
async def test_sending_goes_nowhere(client: mocked.Inngest) -> None:
    assert await client.send([EVENT, EVENT]) == ["0" * 26] * 2
    assert client.send_sync(EVENT) == ["0" * 26]
    with pytest.raises(inngest.EventInvalidError):
        client.send_sync(inngest.Event(name=""))


def test_functions_can_be_defined_again(client: mocked.Inngest) -> None:
    for _ in range(2):
        client.create_function(fn_id="f", trigger=TRIGGER)(lambda ctx: None)
    assert "shop/f" not in client.celery.tasks


def test_functions_of_a_real_client_run_too(client: mocked.Inngest, celery_app: Any) -> None:
    real = inngest.Inngest(app_id="shop", celery=celery_app)
    function = real.create_function(fn_id="f", trigger=TRIGGER)(lambda ctx: ctx.step.run("a", lambda: 1))
    assert trigger(function, EVENT, client).output == 1


@step("add")
async def add_later(first: int, *, second: int = 2) -> int:
    return first + second


@step("add")
def add(first: int, *, second: int = 2) -> int:
    return first + second


def test_decorated_functions_are_ordinary_outside_of_a_run() -> None:
    assert add(1, second=3) == 4
    assert asyncio.run(add_later(1)) == 3
    assert add.__name__ == "add"


def test_decorated_functions_are_steps_in_a_run(client: mocked.Inngest) -> None:
    @client.create_function(fn_id="f", trigger=TRIGGER)
    async def later(ctx: inngest.Context) -> list[object]:
        assert get_step_context() is ctx.step
        return [await add_later(1, second=5), await add_later(1)]

    @client.create_function(fn_id="g", trigger=TRIGGER)
    def now(ctx: inngest.ContextSync) -> list[object]:
        return [add(1, second=5), add(1)]

    for function in (later, now):
        assert trigger(function, EVENT, client).output == [6, 3]
        assert trigger(function, EVENT, client, step_stubs={"add": 9}).output == [9, 9]


def test_the_step_context_by_hand() -> None:
    with pytest.raises(LookupError):
        get_step_context()
    given: Any = object()
    with set_step_context(given):
        assert get_step_context() is given
        with pytest.raises(Exception, match="already set"), set_step_context(given):
            pass
    with pytest.raises(LookupError):
        get_step_context()
