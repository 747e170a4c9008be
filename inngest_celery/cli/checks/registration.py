"""Functions in the code, in the database and in the workers should be the same ones."""

from __future__ import annotations

from collections.abc import Iterator

from inngest_celery.cli.checks.findings import Deployment, Finding, note, problem, warning
from inngest_celery.store.functions import FunctionRow
from inngest_celery.worker import legacy_names


def workers(deployment: Deployment) -> Iterator[Finding]:
    if deployment.broker_up and not deployment.workers.queues:
        yield problem(
            "no_workers",
            "No worker answers.",
            "Start one: celery -A proj worker. If some run, see that they use this broker; one with pool solo does not "
            "answer while it runs a task.",
        )


def queues(deployment: Deployment) -> Iterator[Finding]:
    if not deployment.workers.queues:
        return
    needed = {deployment.runtime.route_queue: ["the routing of events"]}
    for row in _living(deployment):
        needed.setdefault(row.queue, []).append(row.id)
    for name, function in legacy_names.replaced_by(deployment.app).items():
        needed.setdefault(legacy_names.queue_of(deployment.app, name), []).append(
            f"the old task {name} ({function.id})"
        )
    for queue in sorted(needed.keys() - deployment.workers.all_queues):
        yield problem(
            "queue_without_worker",
            f"No worker consumes queue {queue}, which is used by {', '.join(sorted(needed[queue]))}.",
            f"Start a worker with -Q {queue}, or give the functions another queue (celery_options, task_routes, "
            "inngest_task_queue).",
        )


def tasks(deployment: Deployment) -> Iterator[Finding]:
    if not deployment.workers.tasks:
        return
    for row in _living(deployment):
        if row.task_name not in deployment.workers.all_tasks and row.id in deployment.registered:
            yield problem(
                "function_without_worker",
                f"Function {row.id} is registered, but no worker has its task {row.task_name}.",
                "Let the workers import its module. If the function is gone for good: "
                f"celery -A proj inngest functions archive {row.id}",
            )
        elif row.id in deployment.registered and row.queue in deployment.workers.all_queues:
            yield from _unknown_on_queue(deployment, row.id, row.task_name, row.queue)


def replaced(deployment: Deployment) -> Iterator[Finding]:
    """Names of old tasks must be ours alone, here and in every worker that gets their messages."""
    for error in legacy_names.problems(deployment.app):
        yield problem(error.code, str(error), "Workers of this code do not start.")
    for name, function in legacy_names.replaced_by(deployment.app).items():
        queue = legacy_names.queue_of(deployment.app, name)
        if deployment.workers.tasks:
            yield from _unknown_on_queue(deployment, f"{function.id} under its old name", name, queue)


def registration(deployment: Deployment) -> Iterator[Finding]:
    if not deployment.migrated:
        return
    if not deployment.declared:
        yield warning(
            "no_functions",
            "The app has no functions.",
            "Import the modules that define them where the app is made, or name them in the app's include=.",
        )
    for row in deployment.declared.values():
        stored = deployment.registered.get(row.id)
        if stored is None:
            what, code = "is not registered, so no event starts it", "function_not_registered"
        elif stored.archived_at is not None:
            what, code = "is archived, so no event starts it", "function_archived"
        elif stored.checksum != row.checksum:
            what, code = "is registered with another configuration than this code has", "function_changed"
        else:
            continue
        yield warning(code, f"Function {row.id} {what}.", "Start the workers again: they register what their code has.")
    for row in deployment.registered.values():
        if row.archived_at is None and row.id not in deployment.declared:
            yield note(
                "function_not_in_code",
                f"Function {row.id} is registered, but the code of this app does not have it.",
                f"If it is gone for good: celery -A proj inngest functions archive {row.id}",
            )


def _living(deployment: Deployment) -> list[FunctionRow]:
    rows = {**deployment.declared, **{row.id: row for row in deployment.registered.values()}}
    return [row for row in rows.values() if row.archived_at is None]


def _unknown_on_queue(deployment: Deployment, function_id: str, task: str, queue: str) -> Iterator[Finding]:
    """A worker that consumes the queue but does not know the task throws its messages away."""
    strangers = [
        name
        for name, consumed in deployment.workers.queues.items()
        if queue in consumed and task not in deployment.workers.tasks.get(name, frozenset())
    ]
    if strangers:
        yield warning(
            "worker_without_function",
            f"{', '.join(sorted(strangers))} consumes queue {queue}, but does not know function {function_id}: "
            "messages that reach it are lost, and sent again later.",
            "Let all workers of a queue run the same code, or give the function a queue of its own.",
        )
