"""Sending events: what is refused before anything happens, and the HTTP way, to a server."""

from __future__ import annotations

import base64
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from inngest_celery import trace_context
from inngest_celery.sdk import jsonable
from inngest_celery.sdk.effects import Effect, Work
from inngest_celery.sdk.errors import ErrorCode, EventInvalidError, SendEventsError
from inngest_celery.sdk.event import Event, SendEventsResult
from inngest_celery.sdk.middleware import MiddlewareChain

if TYPE_CHECKING:
    import httpx

MAX_EVENTS = 5000
MAX_EVENT_BYTES = 3 * 1024 * 1024
MAX_NAME = 512
_EARLIEST = 315_532_800_000  # 1980
_LATEST = 4_133_980_799_999  # the end of 2100
_ATTEMPTS = 5


def sending(
    chain: MiddlewareChain | None, events: list[Event], deliver: Callable[[list[Event]], Effect]
) -> Work[list[str]]:
    """Send events: middleware, checks, delivery, middleware.

    Args:
        chain: the middleware, or None to skip it.
        events: the events; middleware may change the list.
        deliver: gives the effect that stores or posts the events and results in a ``SendEventsResult``.

    Raises:
        EventInvalidError: an event cannot be sent; none was.
        SendEventsError: a server refused some or all.
    """
    if chain is not None:
        yield from chain.before_send_events(events)
    check_events(events)
    result = yield deliver(events)
    assert isinstance(result, SendEventsResult)
    if chain is not None:
        yield from chain.after_send_events(result)
    if result.error is not None:
        raise SendEventsError(result.error, result.ids)
    return result.ids


def as_list(events: Event | list[Event]) -> list[Event]:
    """Give a new list, so that middleware does not change the caller's.

    Raises:
        EventInvalidError: something in it is no event.
    """
    given: list[object] = list(events) if isinstance(events, list | tuple) else [events]
    for index, event in enumerate(given):
        if not isinstance(event, Event):
            message = f'is no Event but {type(event).__name__}; write Event(name="shop/order.placed", data={{...}})'
            raise EventInvalidError(message, index=index, field="")
    return cast("list[Event]", given)


def check_events(events: Sequence[Event]) -> None:
    """Refuse the whole call if one event cannot be sent.

    Raises:
        EventInvalidError: names the event's index and field.
    """
    if len(events) > MAX_EVENTS:
        raise EventInvalidError(
            f"at most {MAX_EVENTS} events go into one call, not {len(events)}; send them in parts",
            index=MAX_EVENTS,
            field="name",
        )
    for index, event in enumerate(events):
        _check_name(event.name, index)
        _check_id(event.id, index)
        _check_data(event, index)
        if event.ts and not _EARLIEST <= event.ts <= _LATEST:
            raise EventInvalidError(
                f"{event.ts} is not between 1980 and 2100 in milliseconds since 1970", index=index, field="ts"
            )


def _check_name(name: str, index: int) -> None:
    if not name.strip():
        problem = 'the name is empty; name what happened, such as "shop/order.placed"'
    elif len(name) > MAX_NAME:
        problem = f"the name has {len(name)} characters; at most {MAX_NAME} are allowed"
    elif name.lower().startswith("inngest/"):
        problem = f'names that begin with "inngest/" are reserved, so "{name}" cannot be sent; choose another prefix'
    elif not is_storable(name):
        problem = f"the name {name!r} holds a character that cannot be stored"
    else:
        return
    raise EventInvalidError(problem, index=index, field="name", code=ErrorCode.EVENT_NAME_INVALID)


def _check_id(event_id: str, index: int) -> None:
    if len(event_id) > MAX_NAME:
        problem = f"the id has {len(event_id)} characters; at most {MAX_NAME} are allowed"
    elif not is_storable(event_id):
        problem = f"the id {event_id!r} holds a character that cannot be stored"
    else:
        return
    raise EventInvalidError(problem, index=index, field="id")


def is_storable(text: str) -> bool:
    """Tell whether a text is without NUL and without halves of surrogate pairs, which databases do not take."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _check_data(event: Event, index: int) -> None:
    data = dict(event.data)
    problem = jsonable.find_problem(data)
    if problem is not None:
        problem = f"JSON cannot hold {problem}; send str, numbers, bool, None, lists and dicts"
    elif (size := len(jsonable.encode(data).encode())) > MAX_EVENT_BYTES:
        problem = f"{size} bytes are more than {MAX_EVENT_BYTES}; store the payload elsewhere and send a reference"
    if problem is not None:
        raise EventInvalidError(problem, index=index, field="data")


@dataclass(frozen=True)
class HttpSender:
    """Posts events to a server's event API.

    Attributes:
        url: ``<origin>/e/<event key>``.
        headers: headers of every request.
        timeout: of one attempt, in seconds.
    """

    url: str
    headers: dict[str, str]
    timeout: float

    def send(self, events: Sequence[Event], seed: str | None = None) -> SendEventsResult:
        """Post events, with up to five attempts under one seed, so that the server stores them once.

        Args:
            events: the events.
            seed: what the server makes the events' ids from; random, if left out.

        Raises:
            SendEventsError: no attempt had an answer, or the answer cannot be read.
        """
        import httpx

        now_ms = time.time_ns() // 1_000_000
        headers = {**self.headers, "x-inngest-event-id-seed": seed or new_seed(now_ms, os.urandom(10))}
        trace = trace_context.current()
        headers |= trace.headers if trace is not None else {}
        body = jsonable.encode([_wire_event(event, now_ms) for event in events]).encode()
        with httpx.Client(timeout=self.timeout) as http:
            response = _post_until_answered(lambda: http.post(self.url, content=body, headers=headers))
        return _read(response)


def new_seed(time_ms: int, entropy: bytes) -> str:
    """Give an ``x-inngest-event-id-seed`` header from a time and ten bytes."""
    return f"{time_ms},{base64.b64encode(entropy).decode()}"


def _wire_event(event: Event, now_ms: int) -> dict[str, object]:
    wire = event.to_dict()
    if not event.id:
        del wire["id"]
    wire["ts"] = event.ts or now_ms
    return wire


def _post_until_answered(post: Callable[[], httpx.Response]) -> httpx.Response | None:
    """Try up to five times, until there is an answer below 500; gives the last answer, if there was any."""
    import httpx

    response = None
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(0.1 * 2 ** (attempt - 1) + random.uniform(0, 0.1))
        try:
            response = post()
        except httpx.RequestError:
            continue
        if response.status_code < 500:
            break
    return response


def _read(response: httpx.Response | None) -> SendEventsResult:
    if response is None:
        raise SendEventsError("never received response while sending events", [])
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise SendEventsError(
            f"the server's answer (status {response.status_code}) is no JSON object; is this an event API?", []
        )
    error = answer.get("error")
    ids = [str(event_id) for event_id in answer.get("ids") or []]
    if error is None and response.status_code >= 500:
        error = f"the server answered with status {response.status_code}"
    return SendEventsResult(error=None if error is None else str(error), ids=ids)
