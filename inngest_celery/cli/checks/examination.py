"""Asks everybody once, then runs all checks on the answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from celery import Celery
from celery.app.utils import sanitize_url

from inngest_celery.cli.checks import (
    clocks,
    configuration,
    encryption,
    flower,
    keeping,
    keys,
    limits,
    registration,
    work,
)
from inngest_celery.cli.checks.findings import Check, Deployment, Finding, Workers, note, problem
from inngest_celery.settings import SettingsError, settings_of
from inngest_celery.store import functions as function_rows
from inngest_celery.store.database import DatabaseError
from inngest_celery.store.migrate import require_migrated
from inngest_celery.worker.broker import BROKER_ERRORS, producer_of
from inngest_celery.worker.registry import declared, described
from inngest_celery.worker.runtime import Runtime, runtime_of

CHECKS: list[Check] = [
    configuration.eager,
    configuration.horizon,
    configuration.results,
    configuration.pool,
    configuration.sqlite,
    flower.task_events,
    flower.events_queue,
    clocks.database_clock,
    clocks.broker_clock,
    encryption.keys,
    limits.flow_redis,
    keys.ends,
    keys.fallback,
    registration.workers,
    registration.queues,
    registration.tasks,
    registration.replaced,
    registration.registration,
    work.sweep,
    work.unanswered,
    keeping.rules,
    keeping.erasures,
    keeping.parts,
]


# What can be told before there is a worker.
BEFORE_START: list[Check] = [
    registration.replaced,
    configuration.eager,
    configuration.horizon,
    configuration.pool,
    clocks.database_clock,
    encryption.keys,
    limits.flow_redis,
]


def examine(app: Celery, timeout: float | None, checks: Sequence[Check] = CHECKS) -> Iterator[Finding]:
    """Run all checks that can be run: what does not answer is found once, not by every check that needs it.

    Args:
        app: the Celery app, with its functions.
        timeout: seconds to wait for the answers of workers; ``None`` asks none.
        checks: those to run, once settings, broker and database are looked at.
    """
    try:
        settings = settings_of(app)
    except SettingsError as error:
        yield problem(error.code, str(error), "Correct or remove it.")
        return
    runtime = runtime_of(app)
    broker_error = _broker_error(runtime)
    if broker_error is not None:
        yield broker_error
    registered = []
    try:
        require_migrated(runtime.database)
        with runtime.database.autocommit() as connection:
            registered = function_rows.all_of(connection)
        migrated = True
    except DatabaseError as error:
        yield _database_error(runtime, error)
        migrated = False
    deployment = Deployment(
        app=app,
        runtime=runtime,
        settings=settings,
        broker_up=broker_error is None,
        migrated=migrated,
        workers=_ask_workers(app, timeout) if broker_error is None and timeout is not None else Workers(),
        registered={row.id: row for row in registered},
        declared={function.id: described(app, function, 0) for function in declared(app)},
    )
    for check in checks:
        yield from check(deployment)


def _broker_error(runtime: Runtime) -> Finding | None:
    app = runtime.app
    try:
        runtime.broker_transport  # noqa: B018
        # It is waited for no longer than broker_connection_timeout, even if it takes connections and answers nothing.
        with producer_of(app):
            pass
    except SettingsError as error:
        return problem(error.code, str(error), "Nothing is sent and nothing runs until then.")
    except BROKER_ERRORS as error:
        where = sanitize_url(app.conf.broker_url) or "amqp://localhost, Celery's default, since broker_url is not set"
        return problem(
            "broker_unreachable",
            f"The broker does not answer ({where}): {error}",
            "Start it, or correct broker_url. Events that are sent meanwhile are stored, and routed once it is back.",
        )
    return None


def _database_error(runtime: Runtime, error: DatabaseError) -> Finding:
    if error.code == "database_not_migrated" and "database_url" not in runtime.settings.model_fields_set:
        return note(
            error.code, "The default SQLite database has no tables yet.", "The first worker that starts makes them."
        )
    advice = "Nothing is sent and nothing runs until then."
    return problem(error.code, str(error), advice)


def _ask_workers(app: Celery, timeout: float) -> Workers:
    inspect = app.control.inspect(timeout=timeout)
    queues = inspect.active_queues() or {}
    if not queues:
        return Workers()
    registered = inspect.registered() or {}
    stats = inspect.stats() or {}
    return Workers(
        queues={name: frozenset(queue["name"] for queue in answer) for name, answer in queues.items()},
        # The answer is the task's name, and what it is limited to in brackets.
        tasks={name: frozenset(task.partition(" [")[0] for task in answer) for name, answer in registered.items()},
        pools={name: str(answer.get("pool", {}).get("implementation", "")) for name, answer in stats.items()},
    )
