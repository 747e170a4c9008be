"""Functions under the names of old tasks: callers that know only those names, on real workers, brokers and backends."""

from __future__ import annotations

import importlib
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from celery import Celery, chain, chord, group, signature
from celery.exceptions import TaskRevokedError

from inngest_celery.store import schema
from inngest_celery.store.rows import RunStatus
from inngest_celery.worker.runtime import runtime_of
from tests.conftest import StartWorker
from tests.waiting import wait_until

APP = "tests.e2e.legacy_app"
LONG = 60
# Where results are kept: beside the broker, sent to the caller, in a database.
BACKENDS = {"valkey": "{broker}", "redis": "{broker}", "rabbitmq": "rpc://", "database": "db+sqlite:///{path}"}


class Project:
    """The project with its worker, and an old process that has none of its code."""

    def __init__(self, module: Any, old: Celery, worker: Any, environment: dict[str, str]) -> None:
        self.app, self.client, self.module, self.old, self.worker = module.app, module.client, module, old, worker
        self.environment = environment

    def call(self, name: str, *args: object, **options: Any) -> Any:
        """As old code that knows no more than a name."""
        return self.old.send_task(name, args=args, **options)

    def runs(self) -> list[Any]:
        return self.client.runs.list(limit=100)  # type: ignore[no-any-return]

    def ask(self, query: sa.Select[Any]) -> list[Any]:
        with runtime_of(self.app).database.autocommit() as connection:
            return list(connection.execute(query))


@pytest.fixture
def project_of(
    database_url: str, broker_url: str, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    opened: list[Celery] = []

    def open_project(backend: str, **options: Any) -> Project:
        environment = {"BROKER": broker_url, "BACKEND": backend, "DATABASE": database_url}
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        # The module reads its addresses when it is imported.
        monkeypatch.delitem(sys.modules, APP, raising=False)
        module = importlib.import_module(APP)
        old = Celery("old", broker=broker_url, backend=backend, set_as_current=False)
        old.conf.task_routes = module.app.conf.task_routes
        old.conf.result_backend_transport_options = module.app.conf.result_backend_transport_options
        opened.extend([old, module.app])
        chosen = {"pool": "threads", "concurrency": 4, "queues": ["celery", "old"], **options}
        worker = start_worker(APP, env=environment, **chosen)
        return Project(module, old, worker, environment)

    yield open_project
    for app in opened:
        app.close()


@pytest.fixture
def project(project_of: Any, broker_url: str) -> Project:
    return project_of(broker_url if broker_url.startswith("redis") else "rpc://")  # type: ignore[no-any-return]


@pytest.mark.databases("sqlite")
@pytest.mark.brokers("valkey", "rabbitmq")
def test_old_callers_get_the_runs_output(project: Project) -> None:
    by_name = project.call("proj.tasks.onboard", 7, "gold")
    by_signature = signature("proj.tasks.onboard", args=(8,), kwargs={"plan": "free"}, app=project.old).apply_async()
    by_import = project.module.onboard.delay(9, plan="paid")
    mapped = project.call("proj.old.sum_up", 1, 2, 3)
    plain = project.call("proj.tasks.sum_up", {"numbers": [4]})
    assert by_name.get(timeout=LONG) == [7, "gold"]
    assert by_signature.get(timeout=LONG) == [8, "free"]
    assert by_import.get(timeout=LONG) == [9, "paid"]
    assert mapped.get(timeout=LONG) == 7
    assert plain.get(timeout=LONG) == 5
    assert len(project.runs()) == 5


@pytest.mark.databases("sqlite")
@pytest.mark.brokers("valkey")
def test_messages_in_every_condition(project: Project) -> None:
    # The same message twice, as after a visibility timeout.
    task_id = str(uuid.uuid4())
    for _ in range(2):
        project.call("proj.tasks.onboard", 1, task_id=task_id)
    assert project.old.AsyncResult(task_id).get(timeout=LONG) == [1, None]
    # Too many arguments: the caller hears it, as it did from the task.
    with pytest.raises(Exception, match="3 positional arguments, and parameters= names 2"):
        project.call("proj.tasks.onboard", 1, 2, 3).get(timeout=LONG)
    assert project.call("proj.tasks.onboard", 5, ignore_result=True).get() is None
    # Due tomorrow: a run from now on, and no message that a worker holds.
    project.call("proj.tasks.linger", countdown=86_400, expires=90_000)
    # Expired before it is due: Celery drops it.
    expired = project.call("proj.tasks.onboard", 6, expires=-1)
    with pytest.raises(TaskRevokedError):
        expired.get(timeout=LONG)
    wait_until(lambda: len(project.runs()) == 3, LONG, lambda: str(project.runs()))
    of_linger = sa.select(schema.job).where(schema.job.c.function_id == "proj-linger")
    [job] = project.ask(of_linger)
    assert job.due_at - job.created_at > 86_000_000
    held = project.app.control.inspect(timeout=2, limit=1)
    # Another run may rest for its moment just now.
    assert [task for tasks in held.scheduled().values() for task in tasks if job.subject_id in str(task)] == []
    [registered] = held.registered().values()
    assert {"proj.tasks.onboard", "proj/onboard", "proj.tasks.double"} <= set(registered)


@pytest.mark.databases("sqlite")
@pytest.mark.brokers("valkey", "rabbitmq")
@pytest.mark.parametrize("backend", ["beside", "database"])
def test_a_function_as_every_part_of_a_canvas(project_of: Any, broker_url: str, backend: str, tmp_path: Any) -> None:
    kept_in_redis = broker_url.startswith("redis") and backend == "beside"
    url = f"db+sqlite:///{tmp_path / 'results.db'}" if backend == "database" else ""
    project = project_of(url or (broker_url if kept_in_redis else "rpc://"))
    module, old = project.module, project.old

    def named(name: str, *args: object) -> Any:
        return signature(name, args=args, app=old)

    double = named("proj.tasks.double", 5)
    canvases: dict[str, tuple[Any, object]] = {
        "chain by name": (chain(double, named("proj.old.sum_up"), named("proj.tasks.double"), app=old), 22),
        "chain by function": (chain(module.double.s(5), module.onboard.s("gold"), app=module.app), [10, "gold"]),
        "group by name": (group([named("proj.old.sum_up", 1), named("proj.tasks.double", 2)], app=old), [2, 4]),
        "group of functions": (group([module.onboard.s(2), module.double.s(3)], app=module.app), [[2, None], 6]),
    }
    if url or kept_in_redis:
        header = [named("proj.old.sum_up", 1), named("proj.tasks.double", 2)]
        canvases |= {
            "chord header by name": (chord(header, named("proj.tasks.total"), app=old), 6),
            "chord body by name": (chord(header, named("proj.old.sum_up"), app=old), 7),
            "chord of functions": (
                chord([module.onboard.s(1, 2), module.onboard.s(3, 4)], module.onboard.s("x"), app=module.app),
                [[[1, 2], [3, 4]], "x"],
            ),
        }
    results = {name: canvas.apply_async() for name, (canvas, _) in canvases.items()}
    for name, (_, expected) in canvases.items():
        assert results[name].get(timeout=LONG) == expected, name


@pytest.mark.pairs
@pytest.mark.parametrize("terminate", [False, True], ids=["revoke", "terminate"])
def test_revoke_cancels_the_run(project: Project, terminate: bool, start_worker: StartWorker) -> None:
    """Of a run that sleeps, of one that is due tomorrow, of a message; by the caller's id and by the run's."""
    asleep = project.call("proj.tasks.linger")
    by_run_id = project.module.linger.delay()
    tomorrow = project.call("proj.tasks.linger", countdown=86_400)
    wait_until(lambda: len(project.runs()) == 3, LONG, lambda: str(project.runs()))
    # Another worker hears of it, too, and cancels nothing twice.
    start_worker(APP, env=project.environment, pool="solo", queues=["celery"])
    for result in (asleep, tomorrow):
        result.revoke(terminate=terminate)
    project.app.control.revoke([by_run_id.id, "nobody's"], terminate=terminate)
    wait_until(
        lambda: [run.status for run in project.runs()] == [RunStatus.CANCELLED] * 3, LONG, lambda: str(project.runs())
    )
    for result in (asleep, by_run_id, tomorrow):
        with pytest.raises(TaskRevokedError):
            result.get(timeout=LONG)
        assert result.state == "REVOKED"
    assert {run.reason for run in project.runs()} == {"revoked"}
    # A message that comes after its revocation starts nothing, as with any task.
    late = project.call("proj.tasks.onboard", 1, task_id=asleep.id)
    assert project.call("proj.tasks.onboard", 2).get(timeout=LONG) == [2, None]
    assert len(project.runs()) == 4
    assert late.id == asleep.id


@pytest.mark.databases("sqlite")
@pytest.mark.brokers("valkey")
def test_a_call_is_revoked_while_its_event_waits_to_be_routed(project: Project) -> None:
    runtime = runtime_of(project.app)
    # Stored, and no worker told: as when the broker is down, or its queue long.
    runtime.sends_hints = False
    result = project.module.linger.delay()
    [job] = project.ask(sa.select(schema.job))
    assert job.kind == "route"
    with runtime.database.transaction() as connection:
        connection.execute(sa.update(schema.job).values(sweep_at=job.sweep_at + 3_600_000))
    result.revoke()
    [run] = wait_until(project.runs, LONG)
    wait_until(lambda: project.runs()[0].status is RunStatus.CANCELLED, LONG, lambda: str(project.runs()))
    assert run.id == result.id
    assert project.ask(sa.select(schema.attempt)) == []


@pytest.mark.databases("sqlite")
@pytest.mark.brokers("valkey")
def test_other_tasks_are_revoked_as_ever(project_of: Any, broker_url: str) -> None:
    project = project_of(broker_url, pool="prefork", concurrency=1)
    running, queued = project.call("proj.tasks.nap", 60), project.call("proj.tasks.nap", 0)
    wait_until(
        lambda: project.app.control.inspect(timeout=1, limit=1).active() and "proj.tasks.nap" in project.worker.log,
        LONG,
    )
    queued.revoke()
    running.revoke(terminate=True)
    for result in (running, queued):
        with pytest.raises(TaskRevokedError):
            result.get(timeout=LONG)
    assert project.call("proj.tasks.nap", 0).get(timeout=LONG) == "slept"
    assert project.runs() == []
