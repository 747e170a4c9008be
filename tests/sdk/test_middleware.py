"""Middleware: which hooks are called, in what order, by async functions and by others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import inngest_celery as inngest
from inngest_celery.experimental import mocked
from inngest_celery.sdk.memos import Output, StepMemos
from inngest_celery.sdk.middleware import Hooks, MiddlewareChain, TransformOutputResult, TransformOutputStepInfo
from inngest_celery.sdk.types import EmptySentinel

HOOKS = [
    "transform_input",
    "before_execution",
    "before_send_events",
    "after_send_events",
    "after_execution",
    "transform_output",
    "before_response",
]
# With middleware 1 and 2, in the order the official package documents.
ORDER = [
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
    "1.before_response",
    "2.before_response",
]


def recorder(name: str, calls: list[str], *, is_async: bool) -> Any:
    """Make a middleware class that notes its calls."""

    def sync_hook(hook: str) -> Any:
        return lambda self, *args: calls.append(f"{name}.{hook}")

    def async_hook(hook: str) -> Any:
        async def call(self: object, *args: object) -> None:
            await asyncio.sleep(0)
            calls.append(f"{name}.{hook}")

        return call

    make = async_hook if is_async else sync_hook
    base = inngest.Middleware if is_async else inngest.MiddlewareSync
    return type(f"Recorder{name}", (base,), {hook: make(hook) for hook in HOOKS})


def all_hooks(chain: MiddlewareChain) -> list[Hooks]:
    result = TransformOutputResult(None, 1, None)
    context: Any = None
    return [
        chain.transform_input(context, context, StepMemos({})),
        chain.before_execution(),
        chain.before_send_events([]),
        chain.after_send_events(inngest.SendEventsResult()),
        chain.after_execution(),
        chain.transform_output(result),
        chain.before_response(),
    ]


def chain_of(client: inngest.Inngest, *makers: Any) -> MiddlewareChain:
    """The first is the client's, the others are the function's."""
    client.add_middleware(makers[0])
    function = client.create_function(fn_id="f", trigger=inngest.TriggerEvent(event="e"), middleware=list(makers[1:]))(
        lambda ctx: None
    )
    return MiddlewareChain.build(client, function)


def test_order_in_a_sync_function(client: inngest.Inngest) -> None:
    calls: list[str] = []
    chain = chain_of(client, *(recorder(name, calls, is_async=False) for name in "12"))
    for hooks in all_hooks(chain):
        chain.run_sync(hooks)
    assert calls == ORDER


@pytest.mark.anyio
@pytest.mark.parametrize("kinds", [(True, True), (False, False), (True, False), (False, True)])
async def test_order_in_an_async_function(kinds: tuple[bool, bool], client: inngest.Inngest) -> None:
    calls: list[str] = []
    makers = (recorder(name, calls, is_async=kind) for name, kind in zip("12", kinds, strict=True))
    chain = chain_of(client, *makers)
    for hooks in all_hooks(chain):
        await chain.run_async(hooks)
    assert calls == ORDER


@pytest.mark.parametrize("index", range(len(HOOKS)))
def test_async_middleware_in_a_sync_function(index: int, client: inngest.Inngest) -> None:
    chain = chain_of(client, inngest.Middleware)
    with pytest.raises(inngest.AsyncUnsupportedError, match="encountered async middleware in non-async context"):
        chain.run_sync(all_hooks(chain)[index])


def test_each_chain_has_instances_of_its_own(client: inngest.Inngest) -> None:
    client.add_middleware(inngest.MiddlewareSync)
    request = object()
    (first,), (second,) = (MiddlewareChain.build(client, raw_request=request).members for _ in range(2))
    assert first is not second
    assert (first.client, first.raw_request) == (client, request)


def test_the_functions_middleware_is_not_the_sends(client: inngest.Inngest) -> None:
    chain = chain_of(client, inngest.MiddlewareSync, inngest.MiddlewareSync)
    assert len(chain.members) == 2
    assert len(MiddlewareChain.build(client).members) == 1


def test_output_and_error_can_be_changed_but_not_the_step(client: inngest.Inngest) -> None:
    class Rename(inngest.MiddlewareSync):
        def transform_output(self, result: inngest.TransformOutputResult) -> None:
            result.output = "changed"
            result.step = None

    info = TransformOutputStepInfo("id", inngest.Opcode.STEP_RUN, None)
    result = TransformOutputResult(None, "mine", info)
    chain = MiddlewareChain([Rename(client, None), Rename(client, None)])
    chain.run_sync(chain.transform_output(result))
    assert (result.output, result.step) == ("changed", info)


def test_has_output() -> None:
    assert TransformOutputResult(None, None, None).has_output()
    assert not TransformOutputResult(None, EmptySentinel, None).has_output()
    assert not TransformOutputResult(None, EmptySentinel(), None).has_output()


def test_memos() -> None:
    event = {"name": "shop/paid", "data": {}}
    error = {"error": {"name": "ValueError", "message": "no", "stack": "here"}}
    memos = StepMemos.from_raw({"a": {"data": {"b": 1}}, "b": error, "c": None, "d": event, "e": {"data": 1, "x": 2}})
    assert memos.size == 5
    assert [output.data for output in memos.values()] == [{"b": 1}, None, None, event, {"data": 1, "x": 2}]
    failed = memos.pop("b")
    assert isinstance(failed, Output)
    assert failed.error is not None
    raised = failed.error.to_step_error()
    assert (raised.name, raised.message, raised.stack) == ("ValueError", "no", "here")
    assert isinstance(memos.pop("b"), EmptySentinel)
    assert memos.size == 4


class Reverse(inngest.MiddlewareSync):
    """Keeps what is stored in another form than what the function sees."""

    def transform_input(self, ctx: object, function: object, steps: inngest.StepMemos) -> None:
        for memo in steps.values():
            if isinstance(memo.data, str):
                memo.data = memo.data[::-1]

    def transform_output(self, result: inngest.TransformOutputResult) -> None:
        if isinstance(result.output, str) and result.step is not None:
            result.output = result.output[::-1]


def test_a_run_sees_what_middleware_makes_of_memos() -> None:
    client = mocked.Inngest(app_id="shop", middleware=[Reverse])
    attempts = []

    @client.create_function(fn_id="f", trigger=inngest.TriggerEvent(event="e"))
    def function(ctx: inngest.ContextSync) -> list[str]:
        first = ctx.step.run("first", lambda: "abc")
        attempts.append(first)
        if len(attempts) == 1:
            raise ValueError("once more")
        return [first, ctx.step.run("second", lambda: "def")]

    assert mocked.trigger(function, inngest.Event(name="e"), client).output == ["abc", "def"]
    assert attempts == ["abc", "abc"]


def test_order_within_a_whole_run() -> None:
    calls: list[str] = []
    client = mocked.Inngest(app_id="shop", middleware=[recorder("1", calls, is_async=False)])

    @client.create_function(fn_id="f", trigger=inngest.TriggerEvent(event="e"))
    def function(ctx: inngest.ContextSync) -> None:
        ctx.step.send_event("tell", inngest.Event(name="x"))

    mocked.trigger(function, inngest.Event(name="e"), client)
    assert calls == [
        "1.transform_input",
        "1.before_execution",
        "1.before_send_events",
        "1.after_send_events",
        "1.after_execution",
        "1.transform_output",
        "1.transform_input",  # the step's memo, as the function reads it
        "1.after_execution",
        "1.transform_output",
        "1.before_response",
    ]
