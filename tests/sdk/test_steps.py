"""What each step method hands to its session, and what it makes of the answer; the same for async and other code."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import pydantic
import pytest

import inngest_celery as inngest
from inngest_celery import Opcode, ids
from inngest_celery.experimental.ai import openai
from inngest_celery.sdk.middleware import MiddlewareChain
from inngest_celery.sdk.session import StepCall
from tests.sdk import event_server
from tests.sdk.event_server import EventServer

RUN_ID = "01HF7YAT000000000000000001"


class Recorder:
    """A session that keeps the calls, runs bodies, and gives the answer it was told to."""

    run_id = RUN_ID

    def __init__(self, client: inngest.Inngest, answer: object = None) -> None:
        self.middleware = MiddlewareChain.build(client)
        self.answer = answer
        self.calls: list[StepCall] = []
        self.race: bool | None = None

    async def reach(self, call: StepCall) -> object:
        self._note(call)
        result = call.body() if call.body else self.answer
        return await result if isinstance(result, Awaitable) else result

    def reach_sync(self, call: StepCall) -> object:
        self._note(call)
        return call.body() if call.body else self.answer

    async def parallel(self, callables: Sequence[Callable[[], Awaitable[object]]], *, race: bool) -> tuple[object, ...]:
        self.race = race
        return tuple([await branch() for branch in callables])

    def parallel_sync(self, callables: Sequence[Callable[[], object]], *, race: bool) -> tuple[object, ...]:
        self.race = race
        return tuple(branch() for branch in callables)

    def _note(self, call: StepCall) -> None:
        call.hashed_id = ids.hash_step_id(call.step_id)
        self.calls.append(call)


class Caller:
    """Calls a step method of either kind and gives its result."""

    def __init__(self, client: inngest.Inngest, is_async: bool) -> None:
        self.client = client
        self.is_async = is_async
        self.session = Recorder(client)

    def __call__(self, method: str, *args: Any, answer: object = None, **kwargs: Any) -> Any:
        self.session = Recorder(self.client, answer)
        target: Any = (
            inngest.Step(self.client, self.session) if self.is_async else inngest.StepSync(self.client, self.session)
        )
        for name in method.split("."):
            target = getattr(target, name)
        if not self.is_async:
            return target(*args, **kwargs)

        async def call() -> object:
            return await target(*args, **kwargs)

        return asyncio.run(call())

    @property
    def sent(self) -> StepCall:
        (call,) = self.session.calls
        return call


@pytest.fixture(params=[True, False], ids=["async", "sync"])
def step(request: pytest.FixtureRequest, client: inngest.Inngest) -> Caller:
    return Caller(client, request.param)


def add(first: int, second: int) -> int:
    return first + second


async def add_later(first: int, second: int) -> int:
    await asyncio.sleep(0)
    return first + second


def test_run(step: Caller) -> None:
    assert step("run", "sum", add, 1, 2) == 3
    assert (step.sent.op, step.sent.step_id, step.sent.name, step.sent.opts) == (Opcode.STEP_RUN, "sum", "sum", None)


def test_run_of_an_async_handler(client: inngest.Inngest) -> None:
    assert Caller(client, True)("run", "sum", add_later, 1, 2) == 3
    with pytest.raises(inngest.AsyncUnsupportedError, match='step "sum" has an async handler'):
        Caller(client, False)("run", "sum", add_later, 1, 2)


def test_run_takes_a_function(step: Caller) -> None:
    with pytest.raises(inngest.StepInvalidError, match="takes a function to call, not int"):
        step("run", "sum", add(1, 2))


@pytest.mark.parametrize("cost", [-1, float("nan"), float("inf"), 10**400, True, "12", [1], add_later])
def test_a_cost_that_is_none_is_refused_before_anything_runs(step: Caller, cost: Any) -> None:
    asking = {"adapter": openai.Adapter(auth_key="k", model="m"), "body": {}}
    for method, args, kwargs in (("run", (add, 1, 2), {}), ("ai.infer", (), asking)):
        with pytest.raises(inngest.CostInvalidError, match='the cost of step "sum" is ') as caught:
            step(method, "sum", *args, **kwargs, cost=cost)
        assert (caught.value.code, caught.value.is_retriable) == ("cost_invalid", False)
        assert step.session.calls == []


@pytest.mark.parametrize("step_id", ["", " ", None, 7])
@pytest.mark.parametrize(
    ("method", "args", "kwargs"),
    [
        ("run", (add, 1, 2), {}),
        ("sleep", (1,), {}),
        ("sleep_until", (datetime.datetime.now(),), {}),
        ("send_event", (inngest.Event(name="e"),), {}),
        ("wait_for_event", (), {"event": "e", "timeout": 1}),
        ("invoke_by_id", (), {"function_id": "f"}),
        ("ai.infer", (), {"adapter": openai.Adapter(auth_key="k", model="m"), "body": {}}),
    ],
)
def test_steps_need_an_id(
    step: Caller, step_id: Any, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    with pytest.raises(inngest.StepInvalidError, match="needs an id"):
        step(method, step_id, *args, **kwargs)
    assert step.session.calls == []


@pytest.mark.parametrize(
    ("duration", "written"),
    [
        (0, "0ms"),
        (250, "250ms"),
        (3_600_000, "3600000ms"),
        (datetime.timedelta(days=366), "31622400000ms"),
        (datetime.timedelta(microseconds=1), "1ms"),
    ],
)
def test_sleep(step: Caller, duration: int | datetime.timedelta, written: str) -> None:
    assert step("sleep", "nap", duration) is None
    assert (step.sent.op, step.sent.opts) == (Opcode.SLEEP, {"duration": written})


@pytest.mark.parametrize("method", ["sleep", "wait_for_event", "invoke_by_id"])
@pytest.mark.parametrize(
    ("length", "code", "words"),
    [
        (-1, "step_invalid", "negative"),
        (datetime.timedelta(seconds=-1), "step_invalid", "negative"),
        (datetime.timedelta(days=366, milliseconds=1), "timeout_too_long", "366 days"),
        ("1h", "step_invalid", "timedelta"),
        (1.5, "step_invalid", "timedelta"),
        (True, "step_invalid", "timedelta"),
    ],
)
def test_lengths_of_time(step: Caller, method: str, length: Any, code: str, words: str) -> None:
    arguments = {
        "sleep": {"duration": length},
        "wait_for_event": {"event": "e", "timeout": length},
        "invoke_by_id": {"function_id": "f", "timeout": length},
    }
    with pytest.raises(inngest.StepInvalidError, match=words) as caught:
        step(method, "nap", **arguments[method])
    assert (caught.value.code, caught.value.is_retriable) == (code, False)


def test_sleep_until(step: Caller) -> None:
    noon = datetime.datetime(2026, 1, 2, 12, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
    step("sleep_until", "noon", noon)
    assert step.sent.opts == {"until": 1_767_348_000_000}
    assert step.sent.name == "2026-01-02T10:00:00.000Z"


def test_sleep_until_a_local_time(step: Caller) -> None:
    local = datetime.datetime(2026, 1, 2, 12)
    step("sleep_until", "noon", local)
    assert step.sent.opts == {"until": int(local.timestamp() * 1000)}


def test_sleep_until_takes_an_instant(step: Caller) -> None:
    with pytest.raises(inngest.StepInvalidError, match="is a datetime, not date"):
        step("sleep_until", "noon", datetime.date(2026, 1, 2))


def test_wait_for_event(step: Caller) -> None:
    answer = {"name": "shop/paid", "data": {"order": 7}, "id": "x", "ts": 5, "user": {}}
    event = step(
        "wait_for_event",
        "paid",
        event="shop/paid",
        if_exp="event.data.order == async.data.order",
        timeout=3_600_000,
        answer=answer,
    )
    assert event == inngest.Event(name="shop/paid", data={"order": 7}, id="x", ts=5)
    assert (step.sent.op, step.sent.name) == (Opcode.WAIT_FOR_EVENT, "shop/paid")
    assert step.sent.opts == {
        "event": "shop/paid",
        "timeout": "1h",
        "if": "event.data.order == async.data.order",
    }


def test_wait_for_event_that_does_not_come(step: Caller) -> None:
    assert step("wait_for_event", "paid", event="shop/paid", timeout=1500) is None
    assert step.sent.opts == {"event": "shop/paid", "timeout": "1500ms"}


@pytest.mark.parametrize("if_exp", ["async.data.(", "event.data.x == customer.id", ""])
def test_wait_for_event_with_a_malformed_expression(step: Caller, if_exp: str) -> None:
    with pytest.raises(inngest.StepInvalidError, match='if_exp of step "paid"') as caught:
        step("wait_for_event", "paid", event="shop/paid", if_exp=if_exp, timeout=1000)
    assert caught.value.code.startswith("expression_")
    assert not caught.value.is_retriable


def test_wait_for_an_event_without_a_name(step: Caller) -> None:
    with pytest.raises(inngest.StepInvalidError, match="without a name"):
        step("wait_for_event", "paid", event="", timeout=1000)


def test_invoke(step: Caller, client: inngest.Inngest) -> None:
    function = client.create_function(fn_id="sum", trigger=inngest.TriggerEvent(event="e"))(lambda ctx: 3)
    assert step("invoke", "call", function=function, data={"n": [1, 2]}, timeout=90_000, v="2", answer=3) == 3
    assert step.sent.op is Opcode.INVOKE
    assert step.sent.opts == {
        "function_id": "shop-sum",
        "payload": {"data": {"n": [1, 2]}, "v": "2"},
        "timeout": "90s",
    }


def test_invoke_by_id(step: Caller) -> None:
    assert step("invoke_by_id", "call", function_id="sum", answer={"a": 1}) == {"a": 1}
    assert step.sent.opts == {"function_id": "shop-sum", "payload": {"data": {}}}
    step("invoke_by_id", "call", app_id="billing", function_id="sum")
    assert step.sent.opts["function_id"] == "billing-sum"


def test_invoke_with_data_that_json_cannot_hold(step: Caller) -> None:
    with pytest.raises(inngest.StepInvalidError, match=r"a datetime at \$\.when"):
        step("invoke_by_id", "call", function_id="sum", data={"when": datetime.datetime.now()})


def test_infer(step: Caller) -> None:
    adapter = openai.Adapter(auth_key="key", model="large")
    body: dict[str, object] = {"messages": []}
    assert step("ai.infer", "ask", adapter=adapter, body=body, answer={"choices": []}) == {"choices": []}
    assert step.sent.op is Opcode.AI_GATEWAY
    assert step.sent.opts == {
        "auth_key": "key",
        "body": {"messages": [], "model": "large"},
        "format": "openai-chat",
        "headers": {},
        "type": "step.ai.infer",
        "url": "https://api.openai.com/v1/chat/completions",
    }
    assert body == {"messages": []}


def test_send_event_leaves_events_for_the_transaction(step: Caller) -> None:
    events = [inngest.Event(name="a", id="once"), inngest.Event(name="b")]
    sent = step("send_event", "tell", events)
    assert (step.sent.op, step.sent.opts) == (Opcode.STEP_RUN, {"type": "step.sendEvent"})
    assert step.sent.emits == list(zip(sent, events, strict=True))
    assert len(set(sent)) == 2
    assert {ids.time_of(event_id) for event_id in sent} == {ids.time_of(RUN_ID)}


def test_send_event_gives_the_same_ids_on_every_attempt_and_others_for_another_step(step: Caller) -> None:
    event = inngest.Event(name="a")
    assert step("send_event", "tell", event) == step("send_event", "tell", event)
    assert step("send_event", "tell", event) != step("send_event", "tell again", event)


def test_send_event_refuses_bad_events(step: Caller) -> None:
    with pytest.raises(inngest.EventInvalidError):
        step("send_event", "tell", inngest.Event(name="inngest/x"))
    assert step.sent.emits == []


@pytest.fixture
def server() -> Iterator[EventServer]:
    with event_server.running() as server:
        server.answers = [(200, '{"ids": ["01A"]}')]
        yield server


@pytest.mark.parametrize("is_async", [True, False])
def test_send_event_to_a_server_has_the_same_seed_on_every_attempt(is_async: bool, server: EventServer) -> None:
    client = inngest.Inngest(app_id="shop", event_api_base_url=server.url, event_key="key")
    step = Caller(client, is_async)
    assert step("send_event", "tell", inngest.Event(name="a")) == ["01A"]
    assert step.sent.emits == []
    step("send_event", "tell", inngest.Event(name="a"))
    step("send_event", "other", inngest.Event(name="a"))
    first, second, other = (request.headers["x-inngest-event-id-seed"] for request in server.requests)
    assert first == second != other
    assert ids.time_of(ids.from_seed(first, 0) or "") == ids.time_of(RUN_ID)


class User(pydantic.BaseModel):
    name: str


@pytest.fixture(params=[True, False], ids=["async", "sync"])
def typed_step(request: pytest.FixtureRequest) -> Caller:
    return Caller(inngest.Inngest(app_id="shop", serializer=inngest.PydanticSerializer()), request.param)


def test_a_serializer_makes_json_in_the_body_and_the_type_outside(typed_step: Caller) -> None:
    assert typed_step("run", "load", lambda: [User(name="Ada")], output_type=list[User]) == [User(name="Ada")]
    body = typed_step.sent.body
    assert body is not None
    assert body() == [{"name": "Ada"}]


def test_without_a_type_the_serializer_is_not_used(typed_step: Caller) -> None:
    ada = User(name="Ada")
    assert typed_step("run", "load", lambda: ada) is ada


def test_invoke_rebuilds_the_functions_type(typed_step: Caller) -> None:
    function: Any = type("F", (), {"id": "shop-load", "output_type": User | None})
    assert typed_step("invoke", "load", function=function, answer={"name": "Ada"}) == User(name="Ada")
    assert typed_step("invoke", "load", function=function, answer=None) is None
    with pytest.raises(pydantic.ValidationError):
        typed_step("invoke", "load", function=function, answer={"nom": "Ada"})


def test_groups(client: inngest.Inngest) -> None:
    session = Recorder(client)
    group = inngest.GroupSync(client, session)
    assert group.parallel((lambda: 1, lambda: 2)) == (1, 2)
    assert session.race is False
    assert group.parallel((), parallel_mode=inngest.ParallelMode.RACE) == ()
    assert session.race is True


@pytest.mark.anyio
async def test_async_groups(client: inngest.Inngest) -> None:
    session = Recorder(client)
    step, group = inngest.Step(client, session), inngest.Group(client, session)
    results = await group.parallel(
        (lambda: step.run("a", add_later, 1, 1), lambda: step.run("b", add_later, 2, 2)), inngest.ParallelMode.RACE
    )
    assert results == (2, 4)
    assert session.race is True
