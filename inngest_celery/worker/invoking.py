"""Calling one function, whatever triggers it, by somebody who is no function."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inngest_celery import ids
from inngest_celery.engine.lifecycle import INVOKED
from inngest_celery.sdk.event import Event
from inngest_celery.sdk.jsonable import encode
from inngest_celery.sdk.sending import check_events
from inngest_celery.store import functions, rows
from inngest_celery.worker.control import FunctionNotRegisteredError
from inngest_celery.worker.outbox import Outbox
from inngest_celery.worker.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Called:
    """A call that was stored.

    Attributes:
        run_id: the id that its run gets. A debounced function's calls share the run of one of them.
        event_id: the event that is the call. It can be waited for before there is a run.
    """

    run_id: str
    event_id: str


def invoke(
    runtime: Runtime, function_id: str, data: Mapping[str, Any], user: Mapping[str, Any] | None = None
) -> Called:
    """Store the call of a function, and have it routed.

    Args:
        function_id: its full id, or the UUID that stands for it on the wire.
        data: what it gets as its event's data.
        user: what it gets as its event's user.

    Raises:
        FunctionNotRegisteredError: there is none of this id, or it is archived.
        EventInvalidError: the data cannot be an event's.

    Example: ``Runs(app).wait(invoke(runtime, "shop-greet", {"name": "Ada"}).event_id).output``

    Mirrors https://www.inngest.com/docs/guides/invoking-functions-directly
    """
    given = {name: value for name, value in data.items() if name != "_inngest"}
    check_events([Event(name="invoke", data=given)])
    with runtime.database.autocommit() as connection:
        function = functions.find(connection, function_id)
    if function is None or function.archived_at is not None:
        raise FunctionNotRegisteredError(function_id)
    now = runtime.clock.now()
    run_id, event_id = ids.new(now), ids.new(now)
    call = encode({**given, "_inngest": {"fn_id": function.id, "run_id": run_id}})
    extra = json.dumps({"user": dict(user)}) if user else None
    Outbox(runtime).store([rows.Event(event_id, INVOKED, event_id, call, now, now, extra)])
    return Called(run_id, event_id)
