"""Limits on ordinary Celery tasks: real workers, and callers that know nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from celery import chain, chord, group
from celery.result import AsyncResult

import inngest_celery as inngest
from inngest_celery.clock import SharedClock
from inngest_celery.store import schema
from inngest_celery.store.waits import job_from
from inngest_celery.worker import hints
from tests.conftest import Brokers, StartWorker
from tests.e2e import literals
from tests.e2e.limited import LEASE, most_at_once
from tests.e2e.limited_tasks import LONG, LimitedTasks
from tests.own_redis import OwnRedis
from tests.waiting import wait_until

OpenTasks = Callable[..., LimitedTasks]


@pytest.fixture
def open_tasks(
    database_url: str, broker_url: str, redis_url: str, brokers: Brokers, tmp_path: Path, start_worker: StartWorker
) -> Iterator[OpenTasks]:
    """Opens the app of limited tasks; keywords are settings of its workers, but ``limits_in``, another Redis."""
    opened: list[LimitedTasks] = []

    def open_one(*, limits_in: str = redis_url, **settings: object) -> LimitedTasks:
        tasks = LimitedTasks(database_url, broker_url, limits_in, tmp_path, start_worker, **settings)
        tasks.use_backend(redis_url)
        opened.append(tasks)
        return tasks

    yield open_one
    for each in opened:
        each.close()


@pytest.mark.pairs
def test_limits_are_exact_and_nothing_is_lost(open_tasks: OpenTasks) -> None:
    tasks = open_tasks()
    for _ in range(2):
        tasks.worker(pool="prefork", concurrency=2)
    results = [tasks.call("one", number) for number in range(40)]
    keyed = [tasks.call("keyed", {"customer": f"c{number % 3}"}, 0.01) for number in range(30)]
    assert [result.get(timeout=LONG) for result in results] == [number * 2 for number in range(40)]
    for result in keyed:
        result.get(timeout=LONG)
    assert most_at_once(tasks.bodies("one")) == 1
    assert most_at_once(tasks.bodies("keyed")) <= 3
    for customer in ("c0", "c1", "c2"):
        bodies = [body for body in tasks.bodies("keyed") if body.key == customer]
        assert len(bodies) == 10
        assert most_at_once(bodies) == 1
    assert len(tasks.bodies("one")) == 40
    tasks.check_nothing_left()


@pytest.fixture
def tasks(open_tasks: OpenTasks) -> LimitedTasks:
    """The app, with a worker that executes four tasks at a time."""
    opened = open_tasks()
    opened.worker(pool="threads", concurrency=4)
    return opened


embedded = [pytest.mark.databases("sqlite"), pytest.mark.brokers("valkey")]


def marked(*marks: pytest.MarkDecorator) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def mark(test: Callable[..., None]) -> Callable[..., None]:
        for each in marks:
            test = each(test)
        return test

    return mark


@pytest.mark.pairs
def test_a_canvas_goes_through_tasks_that_wait(tasks: LimitedTasks) -> None:
    signature = tasks.celery.signature
    tasks.close_gate()
    first = tasks.call("one", 1)
    tasks.wait_for_bodies(1, "one")
    chained = chain(signature("one", (5,)), signature("late"), signature("one"))()
    grouped = group(signature("one", (number,)) for number in range(3))()
    counted = chord([signature("one", (number,)) for number in range(3)], signature("total"))()
    linked = tasks.call("one", 4, link=signature("one").set(task_id="linked"))
    tasks.wait_for_waiting(8)
    assert linked.state == "PENDING"
    tasks.open_gate()
    assert first.get(timeout=LONG) == 2
    assert chained.get(timeout=LONG) == 40
    assert grouped.get(timeout=LONG) == [0, 2, 4]
    assert counted.get(timeout=LONG) == 6
    assert linked.get(timeout=LONG) == 8
    assert tasks.celery.AsyncResult("linked").get(timeout=LONG) == 16
    assert most_at_once(tasks.bodies("one")) == 1
    tasks.check_nothing_left()


@marked(*embedded)
def test_those_that_wait_go_in_the_order_in_which_they_came(tasks: LimitedTasks) -> None:
    tasks.close_gate()
    results = [tasks.call("one", 0)]
    tasks.wait_for_bodies(1, "one")
    for number in range(1, 10):
        results.append(tasks.call("one", number))
        tasks.wait_for_waiting(number)
    tasks.open_gate()
    for result in results:
        result.get(timeout=LONG)
    assert [body.key for body in tasks.bodies("one")] == [str(number) for number in range(10)]


@marked(*embedded)
def test_each_attempt_takes_its_turn(tasks: LimitedTasks) -> None:
    flaky = [tasks.call("flaky", number, 3) for number in range(4)]
    auto = [tasks.call("auto", number) for number in range(3)]
    assert [result.get(timeout=LONG) for result in flaky] == [0, 2, 4, 6]
    assert [result.get(timeout=LONG) for result in auto] == [0, 1, 2]
    assert len(tasks.bodies("flaky")) == 4 * 4
    assert len(tasks.bodies("auto")) == 3 * 2
    assert most_at_once(tasks.bodies("flaky")) == most_at_once(tasks.bodies("auto")) == 1
    tasks.check_nothing_left()


@marked(*embedded)
def test_what_is_no_call_through_celery_is_not_limited(tasks: LimitedTasks) -> None:
    assert tasks.call("calls-itself", 2).get(timeout=LONG) == 0
    assert tasks.call("everywhere", 3).get(timeout=LONG) == 6
    tasks.check_nothing_left()


@marked(*embedded)
def test_a_message_is_sent_again_as_it_was(tasks: LimitedTasks) -> None:
    literals.install()
    value = {"bytes": b"\x00\xff", "set": {1, 2}, "tuple": (1, "ä")}
    tasks.close_gate()
    tasks.call("literal", None, serializer=literals.NAME)
    tasks.wait_for_bodies(1, "literal")
    long_id = "with/slash/" + "x" * 80
    waits = tasks.call("literal", value, serializer=literals.NAME, task_id=long_id, headers={"mine": "kept"})
    tasks.wait_for_waiting(1)
    tasks.open_gate()
    assert waits.get(timeout=LONG) == repr(value)
    tasks.check_nothing_left()


@marked(*embedded)
def test_calls_beyond_a_rate_limit_are_dropped_and_say_so(tasks: LimitedTasks) -> None:
    ada = [tasks.call("rated", kwargs={"user": "ada"}) for _ in range(3)]
    bob = tasks.call("rated", kwargs={"user": "bob"})
    assert bob.get(timeout=LONG) == "bob"
    outcomes = [result.get(timeout=LONG, propagate=False) for result in ada]
    assert outcomes.count("ada") == 1
    refused = [outcome for outcome in outcomes if isinstance(outcome, inngest.RateLimitedError)]
    assert len(refused) == 2
    assert refused[0].code == "rate_limited"
    assert "1 in 3600 s" in str(refused[0])


@marked(*embedded)
def test_a_call_that_is_revoked_or_expires_while_it_waits_frees_its_turn(tasks: LimitedTasks) -> None:
    tasks.close_gate()
    tasks.call("one", 0)
    tasks.wait_for_bodies(1, "one")
    revoked = tasks.call("one", 1)
    expired = tasks.call("one", 2, expires=0.2)
    last = tasks.call("one", 3)
    tasks.wait_for_waiting(3)
    revoked.revoke()
    wait_until(
        lambda: revoked.id in str(tasks.celery.control.inspect(timeout=0.5).revoked()), LONG, "a worker that knows"
    )
    tasks.open_gate()
    assert last.get(timeout=LONG) == 6
    assert revoked.state == expired.state == "REVOKED"
    assert len(tasks.bodies("one")) == 2
    tasks.check_nothing_left()


@marked(*embedded)
def test_limits_that_are_gone_from_the_code_hold_nobody(open_tasks: OpenTasks) -> None:
    tasks = open_tasks()
    worker = tasks.worker(pool="threads", concurrency=2)
    tasks.close_gate()
    tasks.call("one", 0)
    tasks.wait_for_bodies(1, "one")
    waits = tasks.call("one", 1)
    tasks.wait_for_waiting(1)
    worker.sigkill()
    tasks.open_gate()
    tasks.worker(env={"UNLIMITED": "1"})
    assert waits.get(timeout=LONG) == 2
    tasks.check_nothing_left()


@pytest.mark.pairs
def test_tasks_and_functions_share_limits(open_tasks: OpenTasks) -> None:
    tasks = open_tasks()
    for _ in range(2):
        tasks.worker(pool="prefork", concurrency=3)
    results = [tasks.call("vendor", "k0", 0.02) for _ in range(12)]
    tasks.send("vendor", 12, seconds=0.02)
    results += [tasks.call("api", number, 0.01) for number in range(8)]
    tasks.send("api", 8, seconds=0.01)
    tasks.wait_for_runs()
    for result in results:
        result.get(timeout=LONG)
    assert len(tasks.bodies("vendor")) == 24
    assert most_at_once(tasks.bodies("vendor")) == 2
    assert len(tasks.bodies("api")) == 16
    assert most_at_once(tasks.bodies("api")) == 1
    tasks.check_nothing_left()


@marked(*embedded)
def test_a_throttle_keeps_to_its_rate(open_tasks: OpenTasks, clock_file: Path) -> None:
    # Nobody is to be taken for dead because hours pass.
    tasks = open_tasks(clock=f"file:{clock_file}", lease=86_400, hint_timeout=86_400)
    clock = SharedClock(clock_file)
    workers = [tasks.worker(pool="prefork", concurrency=2) for _ in range(2)]
    results = [tasks.call("paced", number) for number in range(40)]
    # Eight a day, and ten at once: each three hours let one more begin, and no other.
    for begun in range(10, 40):
        wait_until(lambda number=begun: sum(result.ready() for result in results) >= number, LONG, tasks.describe)
        tasks.wait_for_waiting(40 - begun)
        assert len(tasks.bodies("paced")) == begun
        if begun == 10:
            waited = [job_from(row._mapping) for row in tasks.ask(sa.select(schema.job))]
        clock.advance(3 * 3_600_000)
    for result in results:
        result.get(timeout=LONG)
    assert len(tasks.bodies("paced")) == 40
    # What is called again once it is done is neither done again nor left in line.
    hints.send(tasks.runtime, waited)
    wait_until(lambda: sum(worker.log.count(" ignored") for worker in workers) >= 2 * len(waited), LONG, tasks.describe)
    assert len(tasks.bodies("paced")) == 40
    tasks.check_nothing_left()


def call_and_wait(tasks: LimitedTasks, task: str) -> AsyncResult:
    """Let one call of a task execute, and another one wait for it; give the latter. Two workers have a thread each."""
    begun = len(tasks.bodies(task))
    tasks.close_gate()
    tasks.call(task, 0)
    tasks.wait_for_bodies(begun + 1, task)
    waits = tasks.call(task, 1)
    tasks.wait_for_waiting(1)
    return waits


def check_done_by_turns(tasks: LimitedTasks, task: str, calls: int = 2) -> None:
    """Assert that calls with these numbers were done, one at a time, and that nothing is left.

    Some may have been done twice: with a worker die its last acknowledgements, which Celery sends when it next looks at
    its connection, and the broker delivers again what was not acknowledged.
    """
    assert {body.key for body in tasks.bodies(task)} == {str(number) for number in range(calls)}
    assert most_at_once(tasks.bodies(task)) == 1
    tasks.check_nothing_left()


@pytest.mark.pairs
@pytest.mark.databases("postgres", "mariadb")
@pytest.mark.parametrize("place", ["task_called", "task_begun"])
def test_a_call_survives_a_worker_that_dies_at_its_turn(open_tasks: OpenTasks, place: str) -> None:
    tasks = open_tasks()
    for _ in range(3):
        tasks.worker()
    waits = call_and_wait(tasks, "one")
    tasks.order_crash(place)
    tasks.open_gate()
    tasks.wait_for_crash(place)
    assert waits.get(timeout=LONG) == 2
    check_done_by_turns(tasks, "one")


@pytest.mark.pairs
@pytest.mark.databases("postgres", "mariadb")
def test_a_call_that_is_stored_but_not_in_line_is_found(open_tasks: OpenTasks) -> None:
    tasks = open_tasks()
    for _ in range(3):
        tasks.worker()
    tasks.close_gate()
    tasks.call("one", 0)
    tasks.wait_for_bodies(1, "one")
    tasks.order_crash("task_stored")
    waits = tasks.call("one", 1)
    tasks.wait_for_crash("task_stored")
    tasks.open_gate()
    assert waits.get(timeout=LONG) == 2
    check_done_by_turns(tasks, "one")


@marked(pytest.mark.databases("mariadb"), pytest.mark.brokers("rabbitmq"))
@pytest.mark.parametrize("place", ["task_begun", "task_claimed"])
def test_what_is_acknowledged_late_is_done_again(open_tasks: OpenTasks, place: str) -> None:
    tasks = open_tasks()
    for _ in range(2):
        tasks.worker()
    tasks.order_crash(place)
    assert tasks.call("late", 1).get(timeout=LONG) == 2
    tasks.worker()
    waits = call_and_wait(tasks, "late")
    tasks.order_crash(place)
    tasks.open_gate()
    tasks.wait_for_crash(place)
    assert waits.get(timeout=LONG) == 2
    check_done_by_turns(tasks, "late")


@marked(*embedded)
def test_the_place_of_a_dead_worker_is_given_to_others(open_tasks: OpenTasks) -> None:
    tasks = open_tasks()
    first = tasks.worker()
    tasks.close_gate()
    tasks.call("one", 0)
    tasks.wait_for_bodies(1, "one")
    tasks.worker()
    waits = tasks.call("one", 1)
    tasks.wait_for_waiting(1)
    first.sigkill()
    tasks.open_gate()
    assert waits.get(timeout=LONG) == 2
    tasks.check_nothing_left()


@marked(*embedded)
def test_without_redis_tasks_wait(open_tasks: OpenTasks, own_redis: OwnRedis) -> None:
    tasks = open_tasks(limits_in=own_redis.url)
    tasks.worker(pool="threads", concurrency=4)
    assert tasks.call("one", 0).get(timeout=LONG) == 0
    own_redis.kill()
    results = [tasks.call("one", number) for number in range(1, 6)]
    rated = tasks.call("rated", kwargs={"user": "ada"})
    tasks.wait_for_waiting(6)
    assert tasks.call("total", [1, 2]).get(timeout=LONG) == 3, "what nothing limits goes on"
    assert len(tasks.bodies("one")) == 1
    own_redis.start()
    assert [result.get(timeout=LONG) for result in results] == [2, 4, 6, 8, 10]
    assert rated.get(timeout=LONG) == "ada"
    assert most_at_once(tasks.bodies("one")) == 1
    tasks.wait_for_waiting(0)


@marked(*embedded)
def test_a_long_task_keeps_its_place(tasks: LimitedTasks) -> None:
    results = [tasks.call("one", number, 1.5 * LEASE) for number in range(2)]
    for result in results:
        result.get(timeout=LONG)
    assert most_at_once(tasks.bodies("one")) == 1


@marked(pytest.mark.databases("mariadb"), pytest.mark.brokers("rabbitmq"))
def test_workers_die_under_load_and_nothing_is_lost(open_tasks: OpenTasks) -> None:
    tasks = open_tasks()
    workers = [tasks.worker() for _ in range(3)]
    results = [tasks.call("late", number, 0.02) for number in range(60)]
    for progress in (10, 25, 40):
        tasks.wait_for_bodies(progress, "late")
        workers.pop(0).sigkill()
        workers.append(tasks.worker())
    assert [result.get(timeout=LONG) for result in results] == [number * 2 for number in range(60)]
    check_done_by_turns(tasks, "late", 60)
