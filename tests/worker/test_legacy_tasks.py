"""What becomes of a step that a Celery task carries out, job by job: the broker is real, and nobody takes messages."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from celery import Celery, group
from celery.canvas import Signature
from fastapi.testclient import TestClient
from rich.console import Console

import inngest_celery as inngest
from inngest_celery.cli import run_view
from inngest_celery.server.application import create_app
from inngest_celery.server.options import Options
from inngest_celery.store import census, details, schema
from inngest_celery.store.history import history_of
from inngest_celery.store.jobs import PARKED_MS
from inngest_celery.store.rows import JobKind
from inngest_celery.testing import TravellingClock
from inngest_celery.worker import legacy_tasks
from inngest_celery.worker.in_process import InProcess
from inngest_celery.worker.registry import functions_of, synchronise
from inngest_celery.worker.runs import Runs
from inngest_celery.worker.runtime import runtime_of

pytestmark = [pytest.mark.databases("sqlite"), pytest.mark.brokers("valkey")]


class Office:
    """An app with one function, which asks for one signature."""

    def __init__(
        self, database_url: str, broker_url: str, backend: str | None, signature: Callable[[Celery], Any]
    ) -> None:
        self.app = Celery("office", broker=broker_url, backend=backend, set_as_current=False)
        self.app.conf.inngest_database_url = database_url
        self.app.conf.task_routes = {"old.*": {"queue": "old"}}
        client = inngest.Inngest(app_id="office", celery=self.app)

        @client.create_function(fn_id="ask", trigger=inngest.TriggerEvent(event="ask"), retries=0)
        def ask(ctx: inngest.ContextSync) -> Any:
            return ctx.step.celery("old", signature(self.app), timeout=3_600_000)

        self.runtime = runtime_of(self.app)
        self.clock = TravellingClock()
        self.runtime.__dict__["clock"] = self.clock
        synchronise(self.runtime, functions_of(self.app).values())
        self.runs = Runs(self.app)
        [event_id] = client.send_sync(inngest.Event(name="ask", data={}))
        self.drain()
        [self.run] = self.runs.of_event(event_id)

    def drain(self) -> None:
        InProcess(self.runtime).drain()

    @property
    def job(self) -> Any:
        query = sa.select(schema.job).where(schema.job.c.kind == JobKind.CELERY.value)
        with self.runtime.database.autocommit() as connection:
            return connection.execute(query).one()

    @property
    def kept(self) -> dict[str, Any]:
        return dict(json.loads(self.job.opts))

    def call_back(self, task: str, given: object) -> None:
        """Execute a callback, as the worker that gets its message does."""
        self.app.tasks[task](given, run=self.run.id, step=self.job.key)

    def error(self) -> dict[str, Any]:
        self.drain()
        return dict(self.runs.get(self.run.id).output)


OpenOffice = Callable[..., Office]


@pytest.fixture
def open_office(database_url: str, broker_url: str) -> Iterator[OpenOffice]:
    opened: list[Office] = []

    def open_one(
        signature: Callable[[Celery], Any] = lambda app: app.signature("old.work"), *, asks: bool = True
    ) -> Office:
        opened.append(Office(database_url, broker_url, broker_url if asks else None, signature))
        return opened[-1]

    yield open_one
    for office in opened:
        office.runtime.database.dispose()
        office.app.close()


def test_it_is_looked_for_ever_more_seldom_until_its_time_is_up(open_office: OpenOffice) -> None:
    office = open_office()
    pauses = []
    while office.runs.get(office.run.id).output is None:
        pauses.append(office.job.due_at - office.clock.now())
        office.clock.advance(pauses[-1])
        office.drain()
    assert [round(pause / 1000) for pause in pauses[:9]] == [5, 10, 20, 40, 80, 160, 320, 600, 600]
    assert abs(sum(pauses) - 3_600_000) < 5000
    # No worker died of so many claims.
    error = office.error()
    assert error["name"] == "CeleryTaskTimeoutError"
    assert "old.work" in error["message"]


def test_without_a_result_backend_callbacks_tell(open_office: OpenOffice) -> None:
    office = open_office(asks=False)
    office.call_back(legacy_tasks.DONE_TASK, {"paid": 5})
    # A second one, and one of a run that has gone on, change nothing.
    office.drain()
    assert office.runs.get(office.run.id).output == {"paid": 5}
    office.app.tasks[legacy_tasks.DONE_TASK]("late", run=office.run.id, step="none")


def test_without_a_result_backend_a_failure_says_where_to_look(open_office: OpenOffice) -> None:
    office = open_office(asks=False)
    office.call_back(legacy_tasks.FAILED_TASK, office.kept["task_id"])
    error = office.error()
    assert error["name"] == "CeleryTaskError"
    assert "set result_backend" in error["message"]


def test_a_group_without_a_result_backend_is_refused(open_office: OpenOffice) -> None:
    office = open_office(lambda app: group(app.signature("old.work"), app.signature("old.work")), asks=False)
    error = office.error()
    assert error["name"] == "CeleryTaskError"
    assert "rpc:// will not do" in error["message"]


def test_of_a_callback_and_a_look_one_records_it(open_office: OpenOffice) -> None:
    office = open_office()
    office.app.backend.store_result(office.kept["task_id"], "looked for", "SUCCESS")
    key = office.job.key
    office.clock.advance(PARKED_MS)
    office.drain()
    office.app.tasks[legacy_tasks.DONE_TASK]("told", run=office.run.id, step=key)
    office.drain()
    assert office.runs.get(office.run.id).output == "looked for"


def test_its_message_is_its_own(open_office: OpenOffice) -> None:
    office = open_office(
        lambda app: Signature("old.work", args=(1,), options={"countdown": 60, "priority": 3}, app=app)
    )
    with office.app.connection_for_read() as connection:
        message = connection.default_channel.basic_get("old", no_ack=True)
    assert message is not None
    assert message.headers["id"] == office.kept["task_id"]
    assert message.headers["task"] == "old.work"
    assert message.headers["eta"]
    assert message.properties["priority"] == 3
    assert message.headers["root_id"] == message.headers["id"]


def test_whoever_looks_at_the_run_sees_which_task_it_waits_for(open_office: OpenOffice) -> None:
    office = open_office()
    task_id = office.kept["task_id"]
    [reason] = office.runs.why(office.run.id, timeout=0).reasons
    assert reason.code == "waiting_for_task"
    assert f"old.work ({task_id}, sent to the queue old)" in reason.text
    assert reason.queue == "old"
    history = history_of(office.runtime.database, office.run.id)
    assert history is not None
    shown = Console(width=200, record=True, file=io.StringIO())
    run_view.show(history, office.clock.now(), shown)
    text = shown.export_text()
    assert "waits for old.work" in text
    assert task_id in text
    [wait] = run_view.as_json(history)["waits"]  # type: ignore[misc]
    assert (wait["task"], wait["task_id"], wait["queue"]) == ("old.work", task_id, "old")
    with office.runtime.database.autocommit() as connection:
        assert census.resting(connection, office.clock.now()) == (0, 1)
    office.call_back(legacy_tasks.DONE_TASK, 1)
    with office.runtime.database.autocommit() as connection:
        [step] = details.of_runs(connection, [office.run.id])[office.run.id].steps
    assert (step.op, step.task_id) == ("CeleryTask", task_id)
    assert json.loads(step.waited or "{}")["task"] == "old.work"


def test_the_runs_page_shows_the_task(open_office: OpenOffice) -> None:
    office = open_office()
    key, task_id = office.job.key, office.kept["task_id"]
    application = create_app(office.runtime, Options(discovery=False, poll_interval=0))
    with TestClient(application, base_url="http://127.0.0.1:8288", client=("127.0.0.1", 50000)) as browser:
        page = browser.get(f"/runs/{office.run.id}", params={"step": key}).text
    assert "CeleryTask" in page
    assert f"<code>{task_id}</code>" in page
    assert "old.work" in page
    assert "waiting:" in page
