"""Tasks of an old fleet as steps: real workers that know nothing of us, killed, revoked and cut off."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inngest_celery.store import schema
from inngest_celery.store.rows import RunStatus
from tests.conftest import StartWorker
from tests.e2e.fleet import LONG, Fleet
from tests.waiting import wait_until

OpenFleet = Callable[..., Fleet]
CUSTOMER = ["LookupError", "no such customer"]


@pytest.fixture
def open_fleet(
    database_url: str, broker_url: str, redis_url: str, tmp_path: Path, start_worker: StartWorker
) -> Iterator[OpenFleet]:
    """Opens a fleet; keywords are settings of the workers with functions, but ``backend``, another result backend."""
    opened: list[Fleet] = []

    def open_one(*, backend: str = redis_url, **settings: object) -> Fleet:
        fleet = Fleet(database_url, broker_url, backend, tmp_path, start_worker, **settings)
        opened.append(fleet)
        return fleet

    yield open_one
    for each in opened:
        each.close()


@pytest.mark.pairs
@pytest.mark.databases("postgres", "mariadb")
def test_tasks_and_canvases_of_workers_that_know_nothing_of_us(open_fleet: OpenFleet) -> None:
    fleet = open_fleet(task_events='["own.*"]')
    fleet.worker(pool="prefork", concurrency=2)
    fleet.old_worker(pool="prefork", concurrency=2)
    expected = {
        "chain": 8,
        "chain-fails": CUSTOMER,
        "chord": 6,
        "chord-fails": CUSTOMER,
        "double": 42,
        "endless": ["TimeLimitExceeded", "TimeLimitExceeded(1,)"],
        "fail": CUSTOMER,
        "flaky": 2,
        "group": [0, 2, 4],
        "group-fails": CUSTOMER,
        "ignored": 8,
        "mixed": 16,
        "own-fails": CUSTOMER,
        "replaced": 10,
        "tail": [4, 4],
    }
    asked = {what: fleet.ask_for(what) for what in expected}
    asked["pickled"] = fleet.ask_for("pickled")
    answers = {what: fleet.ended(event_id).output for what, event_id in asked.items()}
    assert answers.pop("pickled")[0] == "EncodeError"
    assert answers == expected
    steps = {row.name: row for row in fleet.ask(schema.step.select())}
    assert steps["old"].op == "CeleryTask"
    assert fleet.count(schema.wait) == 0
    wait_until(lambda: fleet.count(schema.job) == 0, LONG, fleet.describe)
    assert fleet.runs.list(status=RunStatus.FAILED) == []
    # The one of them that workers of ours have executed is an event, too.
    events = fleet.ask(schema.event.select().where(schema.event.c.name.like("celery/%")))
    assert [(event.name, json.loads(event.data)["queue"]) for event in events] == [("celery/task.failed", "celery")]


@pytest.mark.databases("postgres")
@pytest.mark.brokers("redis")
def test_workers_are_killed_around_the_task(open_fleet: OpenFleet) -> None:
    fleet = open_fleet()
    fleet.worker(pool="prefork", concurrency=1)
    # Sent, and not recorded: it is sent again, under the same id.
    fleet.order_crash("task_published")
    twice = fleet.ask_for("double")
    fleet.wait_for_crash("task_published")
    task_id = fleet.sent()["task_id"]
    fleet.old_worker(pool="prefork", concurrency=1)
    assert fleet.ended(twice).output == 42
    wait_until(lambda: fleet.executions() == {task_id: 2}, LONG, fleet.describe)
    # The same, but it has ended until the next worker comes: it is not sent again.
    fleet.order_crash("task_published")
    once = fleet.ask_for("double")
    assert fleet.ended(once).output == 42
    # Whoever is told, before and after the outcome is recorded.
    for place in ("task_told", "task_settled"):
        fleet.order_crash(place)
        assert fleet.answer("double") == 42
        fleet.wait_for_crash(place)
    assert sorted(fleet.executions().values()) == [1, 1, 1, 2]
    assert len(fleet.ask(schema.step.select())) == 4
    wait_until(lambda: fleet.count(schema.job) == 0, LONG, fleet.describe)


@pytest.mark.databases("sqlite")
@pytest.mark.brokers("redis", "rabbitmq")
def test_a_lost_callback_and_revocations(open_fleet: OpenFleet) -> None:
    fleet = open_fleet()
    ours = fleet.worker(pool="threads", concurrency=2)
    old = fleet.old_worker(pool="prefork", concurrency=1)
    fleet.gate.touch()
    lost = fleet.ask_for("gated")
    holding = fleet.sent()["task_id"]
    wait_until(lambda: fleet.executions() == {holding: 1}, LONG, "the task that holds up the others")
    # Behind it, in the queue: one whose run is cancelled, one that somebody revokes, one whose time is up.
    cancelled, revoked = fleet.ask_for("double"), fleet.ask_for("double")
    late = fleet.ask_for("double", timeout=3600)
    ids = wait_until(lambda: fleet.task_ids([cancelled, revoked, late]), LONG, fleet.describe)
    fleet.runs.cancel(fleet.run_of(cancelled))
    fleet.celery.control.revoke(ids[revoked])
    fleet.clock.advance(3_600_000)
    name, message = fleet.ended(late).output
    assert name == "CeleryTaskTimeoutError"
    assert ids[late] in message
    for task_id in ids.values():
        wait_until(lambda task_id=task_id: f"flagged as revoked: {task_id}" in old.log, LONG, "its revocation")
    # Nobody hears that the first one ends; nor is there any word of a revoked one.
    ours.sigkill()
    fleet.gate.unlink()
    wait_until(lambda: fleet.celery.AsyncResult(ids[revoked]).state == "REVOKED", LONG, "the revocation")
    fleet.forget_messages()
    fleet.clock.advance(600_000)
    fleet.worker(pool="threads", concurrency=2)
    assert fleet.ended(lost).output == "through"
    assert fleet.ended(revoked).output == ["TaskRevokedError", "revoked"]
    assert fleet.ended(cancelled).status is RunStatus.CANCELLED
    assert fleet.executions() == {holding: 1}, "a revoked task was executed"
