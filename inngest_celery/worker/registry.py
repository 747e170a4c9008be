"""Functions and the Celery tasks that run them, and ordinary Celery tasks that have limits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from celery import Celery

from inngest_celery.sdk.errors import FunctionConfigInvalidError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from inngest_celery.sdk.client import Inngest
    from inngest_celery.sdk.cutover import Cutover
    from inngest_celery.sdk.function import Function
    from inngest_celery.sdk.limits import LimitedTask, LimitOpts
    from inngest_celery.store.functions import FunctionRow
    from inngest_celery.worker.runtime import Runtime

_ATTRIBUTE = "inngest_functions"
_LIMITS = "inngest_limits"
_CUTOVERS = "inngest_cutovers"
_EQUIPPED = "inngest_equipped"
_LONGEST_ID = 255


def functions_of(app: Celery) -> dict[str, Function[Any]]:
    """Give the functions that are defined on a Celery app, by full id."""
    return app.__dict__.setdefault(_ATTRIBUTE, {})  # type: ignore[no-any-return]


def register(client: Inngest, function: Function[Any]) -> None:
    """Make the Celery task of a function."""
    from inngest_celery.worker import legacy_names
    from inngest_celery.worker.tasks import define_function_task

    app = client.celery
    legacy_names.refuse_taken(app, function)
    equip(app)
    functions_of(app)[function.id] = function
    if function.replaces:
        legacy_names.watch(app)
    define_function_task(app, function)


def equip(app: Celery) -> None:
    """Give the workers of an app our sweep and our own tasks, if they do not have them yet."""
    from inngest_celery.worker.tasks import define_tasks

    if _EQUIPPED not in app.__dict__:
        define_tasks(app)
        app.__dict__[_EQUIPPED] = True


def register_limits(client: Inngest, task: object, opts: LimitOpts) -> None:
    """Note the limits of a Celery task, which may not be made yet: its name is known when the app is ready."""
    app = client.celery
    equip(app)
    _noted_limits(app).append((task, client.app_id, opts))


def _noted_limits(app: Celery) -> list[tuple[Any, str, LimitOpts]]:
    return app.__dict__.setdefault(_LIMITS, [])  # type: ignore[no-any-return]


def register_cutover(cutover: Cutover) -> None:
    """Note that calls move to a function. A module that is loaded again says so again."""
    app = cutover.function.client.celery
    equip(app)
    noted = cutovers_of(app)
    noted[:] = [each for each in noted if each.shadow.id != cutover.shadow.id] + [cutover]


def cutovers_of(app: Celery) -> list[Cutover]:
    """Give the old code of an app whose calls move to functions."""
    return app.__dict__.setdefault(_CUTOVERS, [])  # type: ignore[no-any-return]


def limited_tasks_of(app: Celery) -> dict[str, LimitedTask]:
    """Give the Celery tasks of an app that have limits, by the ids that these have beside the functions'.

    Raises:
        FunctionConfigInvalidError: one is limited twice, is a function's, or has too long a name.
    """
    from inngest_celery.sdk.limits import LimitedTask

    found: dict[str, LimitedTask] = {}
    for task, app_id, opts in _noted_limits(app):
        limited = LimitedTask(app_id, task.name, opts)
        # A module that is loaded again says the same again.
        if found.setdefault(limited.id, limited) != limited:
            raise _refused(limited, "has limits already: give all of them in one @client.limit(...)")
    functions = {function.task_name for function in functions_of(app).values()}
    for limited in found.values():
        if limited.name in functions:
            raise _refused(limited, "is a durable function's: give its limits to create_function")
        if len(limited.id) > _LONGEST_ID:
            raise _refused(limited, f"has a name of {len(limited.name)} characters; 250 is the most")
    return found


def _refused(limited: LimitedTask, why: str) -> FunctionConfigInvalidError:
    return FunctionConfigInvalidError(f"the task {limited.name} {why}", path="limit")


def declared(app: Celery) -> list[Function[Any] | LimitedTask]:
    """Give all that an app registers: its functions, and its limited tasks."""
    return [*functions_of(app).values(), *limited_tasks_of(app).values()]


def queue_of(app: Celery, task_name: str, options: dict[str, object], default: str) -> str:
    """Give the queue of a function: its own option, else the deployment's routes, else the default."""
    chosen = options.get("queue")
    if chosen:
        return str(chosen)
    routed = app.amqp.router.route({}, task_name).get("queue")
    name = getattr(routed, "name", routed)
    return str(name) if name and name != app.conf.task_default_queue else default


def described(app: Celery, function: Function[Any] | LimitedTask, now: int) -> FunctionRow:
    """Give the row of a function, or of a limited task, as the code has it, in its first version."""
    from inngest_celery.sdk.limits import LimitedTask
    from inngest_celery.store.functions import FunctionRow
    from inngest_celery.worker.runtime import runtime_of

    config = json.dumps(function.wire_config(), sort_keys=True, separators=(",", ":"))
    if isinstance(function, LimitedTask):
        app_id, task_name = function.app_id, function.name
        options: dict[str, object] = {"queue": getattr(app.tasks[task_name], "queue", None)}
        queue = queue_of(app, task_name, options, str(app.conf.task_default_queue))
    else:
        app_id, task_name = function.client.app_id, function.task_name
        queue = queue_of(app, task_name, function.celery_options, runtime_of(app).route_queue)
    return FunctionRow(
        id=function.id,
        app_id=app_id,
        config=config,
        checksum=checksum_of(config, queue),
        version=1,
        task_name=task_name,
        queue=queue,
        archived_at=None,
        updated_at=now,
    )


def synchronise(runtime: Runtime, functions: Iterable[Function[Any] | LimitedTask]) -> None:
    """Store functions whose configuration is new or has changed, so that events are routed to them.

    Limited tasks stand beside them: whoever tells Redis of limits finds theirs there.
    """
    from inngest_celery.store import functions as function_rows
    from inngest_celery.store import waits

    app, now = runtime.app, runtime.clock.now()
    with runtime.database.transaction() as connection:
        stored = {row.id: row for row in function_rows.all_of(connection)}
        for function in functions:
            save(connection, runtime, described(app, function, now), stored.get(function.id))
    names = {cancel.event for function in functions_of(app).values() for cancel in function.opts.cancel or []}
    if names:
        # Cancellations lock them, and a route need not stop to make them.
        waits.prepare_topics(runtime.database, names)


def checksum_of(config: str, queue: str) -> str:
    """Give what changes when a function has to be stored anew."""
    return hashlib.sha256(f"{config}\0{queue}".encode()).hexdigest()


def save(connection: sa.Connection, runtime: Runtime, row: FunctionRow, before: FunctionRow | None) -> None:
    """Store a function that is new or has changed, with its triggers and its next tick.

    Args:
        row: the function, as of now.
        before: as it was stored, if it was.
    """
    from inngest_celery.engine import ticks
    from inngest_celery.store import functions as function_rows

    if before is not None and before.checksum == row.checksum and before.archived_at is None:
        return
    row = replace(row, version=before.version + 1 if before else 1)
    triggers = [
        (trigger["event"], trigger.get("expression"))
        for trigger in json.loads(row.config)["triggers"]
        if "event" in trigger
    ]
    function_rows.save(connection, row, triggers)
    settings = runtime.settings
    ticks.schedule(connection, row, row.updated_at, horizon_ms=settings.horizon_ms, queue=runtime.route_queue)
