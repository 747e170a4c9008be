"""Step calls: what a step method's arguments become, for async and other functions alike."""

from __future__ import annotations

import datetime
import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from inngest_celery import ids
from inngest_celery.opcodes import Opcode
from inngest_celery.sdk import costs, durations, effects, jsonable, time_limits
from inngest_celery.sdk.effects import Blocking, Effect
from inngest_celery.sdk.errors import ErrorCode, StepInvalidError
from inngest_celery.sdk.event import Event, SendEventsResult
from inngest_celery.sdk.sending import MAX_NAME, as_list, is_storable, new_seed, sending
from inngest_celery.sdk.session import InTransaction, StepCall
from inngest_celery.sdk.time_limits import Limit
from inngest_celery.sdk.types import EmptySentinel

if TYPE_CHECKING:
    from inngest_celery.experimental.ai import BaseAdapter
    from inngest_celery.sdk.client import Inngest
    from inngest_celery.sdk.function import Function
    from inngest_celery.sdk.session import Session

MAX_ID = 512
_PLAIN = (
    "Make it a plain def: it runs in the worker's own thread, so the event loop stays free meanwhile. "
    "What has to be awaited goes into a step.run of its own."
)
Length = int | datetime.timedelta
Cost = float | Callable[[Any], object] | None


@dataclass(frozen=True, slots=True)
class StepBuilder:
    """Makes the step calls of one execution, and reads their results."""

    client: Inngest
    session: Session
    is_async: bool

    def run(
        self,
        step_id: str,
        handler: Callable[..., object],
        args: Sequence[object],
        output_type: object,
        cost: Cost,
        time_limit: Limit = None,
        soft_time_limit: Limit = None,
    ) -> StepCall:
        _check_id(step_id)
        costs.check(step_id, cost)
        limits = time_limits.checked(step_id, time_limit, soft_time_limit)
        _check_handler("run", step_id, handler)

        def body() -> object:
            return self._then(step_id, handler(*args), lambda result: self.preserve(result, output_type))

        told = self._told(cost, output_type)
        return StepCall(Opcode.STEP_RUN, step_id, name=step_id, body=body, cost=told, args=args, limits=limits)

    def transaction(
        self,
        step_id: str,
        handler: Callable[..., object],
        args: Sequence[object],
        output_type: object,
        cost: Cost,
    ) -> StepCall:
        _check_id(step_id)
        costs.check(step_id, cost)
        _check_handler("transaction", step_id, handler)
        plain = f'the body of the transactional step "{step_id}" is async, and its database connection is not. {_PLAIN}'
        if is_async(handler):
            raise StepInvalidError(plain)
        inside = InTransaction(handler, args, getattr(handler, "inngest_opener", None))

        def body() -> object:
            result = inside.call()
            effects.refuse_awaitable(result, plain)
            return self.preserve(result, output_type)

        return StepCall(
            Opcode.STEP_RUN,
            step_id,
            opts={"type": "step.transaction"},
            name=step_id,
            body=body,
            cost=self._told(cost, output_type),
            args=args,
            transaction=inside,
        )

    def _told(self, cost: Cost, output_type: object) -> Cost:
        """Let a cost be told from what the step gives in the function, not from what is stored of it."""
        return (lambda output: cost(self.revive(output, output_type))) if callable(cost) else cost

    def _then(self, step_id: str, result: object, finish: Callable[[object], object]) -> object:
        """Finish a result that may have to be awaited first."""
        if not inspect.isawaitable(result):
            return finish(result)
        if self.is_async:
            return _finish_later(result, finish)
        effects.refuse_awaitable(
            result, f'step "{step_id}" has an async handler, but its function is not async; make both the same'
        )
        raise AssertionError("unreachable")

    def preserve(self, value: object, output_type: object) -> object:
        """Make a value JSON-able, if there are a serializer and a type."""
        if self.client.serializer is None or output_type is EmptySentinel:
            return value
        return self.client.serializer.serialize(value, output_type)

    def revive(self, data: object, output_type: object) -> object:
        """Rebuild a value from its JSON, if there are a serializer and a type."""
        if self.client.serializer is None or output_type is EmptySentinel:
            return data
        return self.client.serializer.deserialize(data, output_type)

    def send_event(self, step_id: str, events: Event | list[Event]) -> StepCall:
        _check_id(step_id)
        call = StepCall(Opcode.STEP_RUN, step_id, opts={"type": "step.sendEvent"}, name=step_id)

        def body() -> object:
            work = sending(self.session.middleware, as_list(events), lambda batch: self._delivery(call, batch))
            if self.is_async:
                return _finish_later(effects.run_async(work), lambda sent: {"ids": sent})
            return {"ids": effects.run_sync(work)}

        call.body = body
        return call

    def _delivery(self, call: StepCall, events: list[Event]) -> Effect:
        """Post the events, or leave them to be stored with the step's result; every attempt gives the same ids."""
        run_id = self.session.run_id
        assert call.hashed_id, "the session must number a call before it runs its body"
        time_ms = ids.time_of(run_id)
        if self.client.sends_over_http:
            seed = new_seed(time_ms, ids.entropy_of(run_id, call.hashed_id))
            return Blocking(lambda: self.client.http_sender().send(events, seed))

        def emit() -> SendEventsResult:
            call.emits = [
                (ids.derived(time_ms, run_id, call.hashed_id, str(index)), event) for index, event in enumerate(events)
            ]
            return SendEventsResult(ids=[event_id for event_id, _ in call.emits])

        return emit

    def sleep(self, step_id: str, duration: Length) -> StepCall:
        _check_id(step_id)
        ms = _length(step_id, "duration", duration)
        return StepCall(Opcode.SLEEP, step_id, opts={"duration": f"{ms}ms"}, name=step_id)

    def sleep_until(self, step_id: str, until: datetime.datetime) -> StepCall:
        _check_id(step_id)
        if not isinstance(until, datetime.datetime):
            raise StepInvalidError(f'"until" of step "{step_id}" is a datetime, not {type(until).__name__}')
        instant = until.astimezone(datetime.UTC)
        ms = durations.milliseconds(instant - _EPOCH)
        name = instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return StepCall(Opcode.SLEEP, step_id, opts={"until": ms}, name=name)

    def wait_for_event(self, step_id: str, event: str, if_exp: str | None, timeout: Length) -> StepCall:
        _check_id(step_id)
        if not event.strip():
            raise StepInvalidError(f'step "{step_id}" waits for an event without a name; give event="shop/paid"')
        if len(event) > MAX_NAME or not is_storable(event):
            raise StepInvalidError(f'step "{step_id}" waits for an event that cannot be sent: {event[:40]!r}')
        opts: dict[str, object] = {"event": event, "timeout": _timeout(step_id, timeout)}
        if if_exp is not None:
            _check_expression(step_id, if_exp)
            opts["if"] = if_exp
        return StepCall(Opcode.WAIT_FOR_EVENT, step_id, opts=opts, name=event)

    def invoke(
        self,
        step_id: str,
        function_id: str,
        data: Mapping[str, object] | None,
        timeout: Length | None,
        v: str | None,
    ) -> StepCall:
        _check_id(step_id)
        if data is not None and not isinstance(data, Mapping):
            raise StepInvalidError(f'"data" of step "{step_id}" is a dict, not {type(data).__name__}')
        payload: dict[str, object] = {"data": dict(data or {})}
        problem = jsonable.find_problem(payload["data"])
        if problem is not None:
            raise StepInvalidError(f'the data of step "{step_id}" holds {problem}; send what JSON can hold')
        if v is not None:
            payload["v"] = v
        opts: dict[str, object] = {"function_id": function_id, "payload": payload}
        if timeout is not None:
            opts["timeout"] = _timeout(step_id, timeout)
        return StepCall(Opcode.INVOKE, step_id, opts=opts, name=step_id)

    def invoke_by_id(
        self,
        step_id: str,
        app_id: str | None,
        function_id: str,
        data: Mapping[str, object] | None,
        timeout: Length | None,
        v: str | None,
    ) -> StepCall:
        return self.invoke(step_id, f"{app_id or self.client.app_id}-{function_id}", data, timeout, v)

    def celery(self, step_id: str, signature: object, timeout: Length | None) -> StepCall:
        _check_id(step_id)
        from inngest_celery.worker import canvases

        kept = canvases.stored(step_id, signature)
        opts: dict[str, object] = {"signature": kept, "task": canvases.described(kept)}
        if timeout is not None:
            opts["timeout"] = _timeout(step_id, timeout)
        return StepCall(Opcode.CELERY, step_id, opts=opts, name=step_id)

    def infer(self, step_id: str, adapter: BaseAdapter, body: Mapping[str, Any], cost: Cost) -> StepCall:
        _check_id(step_id)
        costs.check(step_id, cost)
        request = dict(body)
        adapter.on_call(request)
        opts: dict[str, object] = {
            "auth_key": adapter.auth_key(),
            "body": request,
            "format": adapter.format(),
            "headers": adapter.headers(),
            "type": "step.ai.infer",
            "url": adapter.url_infer(),
        }
        return StepCall(Opcode.AI_GATEWAY, step_id, opts=opts, name=step_id, cost=cost)


def is_async(handler: object) -> bool:
    """Tell whether a callable is a coroutine function, in whatever it is wrapped."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    return effects.is_async(inspect.unwrap(handler) if callable(handler) else handler)


def event_ids(data: object) -> list[str]:
    """Read what a send-event step stored: ``{"ids": [...]}``, or the bare list that the official SDK stores."""
    found = data.get("ids") if isinstance(data, dict) else data
    return [str(event_id) for event_id in cast("list[object]", found or [])]


def event(data: object) -> Event | None:
    """Read what a wait stored: the whole event, or null when its time was up."""
    return None if data is None else Event.model_validate(data)


def answer(data: object) -> dict[str, Any]:
    """Read a model's answer."""
    if not isinstance(data, dict):
        raise StepInvalidError(f"the model answered with {type(data).__name__} where a JSON object was expected")
    return data


_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def full_id(step_id: str, function: Function[Any]) -> str:
    """Give the id of a function that is to be invoked."""
    function_id = getattr(function, "id", None)
    if not isinstance(function_id, str):
        raise StepInvalidError(
            f'step "{step_id}" invokes what create_function made, not {type(function).__name__}; '
            "for a function that is known by its id only there is step.invoke_by_id"
        )
    return function_id


async def _finish_later(result: Awaitable[object], finish: Callable[[Any], object]) -> object:
    return finish(await result)


def _check_id(step_id: str) -> None:
    if not isinstance(step_id, str) or not step_id.strip():
        raise StepInvalidError(f'a step needs an id that says what it does, such as "send-mail", not {step_id!r}')
    if len(step_id) > MAX_ID:
        raise StepInvalidError(f"the step id {step_id[:40]!r}... has {len(step_id)} characters; at most {MAX_ID} go")
    if not is_storable(step_id):
        raise StepInvalidError(f"the step id {step_id!r} holds a character that cannot be stored")


def _check_handler(method: str, step_id: str, handler: object) -> None:
    if not callable(handler):
        raise StepInvalidError(
            f'step "{step_id}" takes a function to call, not {type(handler).__name__}; '
            f"write step.{method}(id, function, argument), not step.{method}(id, function(argument))"
        )


def _timeout(step_id: str, timeout: Length) -> str:
    return durations.to_text(_length(step_id, "timeout", timeout))


def _length(step_id: str, argument: str, value: Length) -> int:
    if not isinstance(value, int | datetime.timedelta) or isinstance(value, bool):
        raise StepInvalidError(
            f'"{argument}" of step "{step_id}" is milliseconds (an int) or a timedelta, not {type(value).__name__}'
        )
    ms = durations.milliseconds(value)
    if ms < 0:
        raise StepInvalidError(f'"{argument}" of step "{step_id}" is negative: {value}')
    if ms > durations.LONGEST:
        raise StepInvalidError(
            f'"{argument}" of step "{step_id}" is longer than 366 days; wait several times instead',
            code=ErrorCode.TIMEOUT_TOO_LONG,
        )
    return ms


def _check_expression(step_id: str, source: str) -> None:
    from inngest_celery.engine import expressions

    try:
        expressions.compile(source, names=frozenset({"event", "async"}))
    except expressions.ExpressionError as error:
        raise StepInvalidError(f'if_exp of step "{step_id}": {error}', code=error.code) from None
