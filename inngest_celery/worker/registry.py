"""Functions and the Celery tasks that run them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from celery import Celery

if TYPE_CHECKING:
    from inngest_celery.sdk.client import Inngest
    from inngest_celery.sdk.function import Function
    from inngest_celery.store.functions import FunctionRow

_ATTRIBUTE = "inngest_functions"


def functions_of(app: Celery) -> dict[str, Function[Any]]:
    """Give the functions that are defined on a Celery app, by full id."""
    return app.__dict__.setdefault(_ATTRIBUTE, {})  # type: ignore[no-any-return]


def register(client: Inngest, function: Function[Any]) -> None:
    """Make the Celery task of a function.

    The first function of an app also gives its workers our sweep and our own tasks.
    """
    from inngest_celery.worker.tasks import define_function_task, define_tasks

    app = client.celery
    functions = functions_of(app)
    if not functions:
        define_tasks(app)
    functions[function.id] = function
    define_function_task(app, function)


def queue_of(app: Celery, task_name: str, options: dict[str, object], default: str) -> str:
    """Give the queue of a function: its own option, else the deployment's routes, else the default."""
    chosen = options.get("queue")
    if chosen:
        return str(chosen)
    routed = app.amqp.router.route({}, task_name).get("queue")
    name = getattr(routed, "name", routed)
    return str(name) if name and name != app.conf.task_default_queue else default


def described(app: Celery, function: Function[Any], now: int) -> FunctionRow:
    """Give the row of a function as the code has it, in its first version."""
    from inngest_celery.store.functions import FunctionRow
    from inngest_celery.worker.runtime import runtime_of

    config = json.dumps(function.wire_config(), sort_keys=True, separators=(",", ":"))
    queue = queue_of(app, function.task_name, function.celery_options, runtime_of(app).route_queue)
    return FunctionRow(
        id=function.id,
        app_id=function.client.app_id,
        config=config,
        checksum=hashlib.sha256(f"{config}\0{queue}".encode()).hexdigest(),
        version=1,
        task_name=function.task_name,
        queue=queue,
        archived_at=None,
        updated_at=now,
    )


def synchronise(app: Celery, functions: Iterable[Function[Any]]) -> None:
    """Store functions whose configuration is new or has changed, so that events are routed to them."""
    from inngest_celery.engine import ticks
    from inngest_celery.store import functions as function_rows
    from inngest_celery.worker.runtime import runtime_of

    runtime = runtime_of(app)
    now = runtime.clock.now()
    with runtime.database.transaction() as connection:
        stored = {row.id: row for row in function_rows.all_of(connection)}
        for function in functions:
            row = described(app, function, now)
            before = stored.get(function.id)
            if before is not None and before.checksum == row.checksum and before.archived_at is None:
                continue
            row = replace(row, version=before.version + 1 if before else 1)
            triggers = [
                (trigger["event"], trigger.get("expression"))
                for trigger in json.loads(row.config)["triggers"]
                if "event" in trigger
            ]
            function_rows.save(connection, row, triggers)
            ticks.schedule(connection, row, now, horizon_ms=runtime.settings.horizon_ms, queue=runtime.route_queue)
    _prepare_topics(app)


def _prepare_topics(app: Celery) -> None:
    """Make the topics that cancellations lock, so that a route need not stop to make them."""
    from inngest_celery.store import waits
    from inngest_celery.worker.runtime import runtime_of

    names = {cancel.event for function in functions_of(app).values() for cancel in function.opts.cancel or []}
    if names:
        waits.prepare_topics(runtime_of(app).database, names)
