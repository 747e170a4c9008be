"""Limits are set and taken back while all runs; what waits moves at once, and whoever sets one may die at any line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
import redis
import sqlalchemy as sa
from celery import Celery

import inngest_celery as inngest
from inngest_celery.flow.gate import connect
from inngest_celery.flow.inspect import State, standing_of
from inngest_celery.flow.places import place_of_job
from inngest_celery.settings import SettingsError
from inngest_celery.store import limits, schema
from inngest_celery.store.limits import SetLimit
from inngest_celery.store.rows import RunStatus
from inngest_celery.worker.control import FunctionNotRegisteredError
from inngest_celery.worker.limits import LimitInfo, LimitInvalidError, LimitNotFoundError, Limits
from inngest_celery.worker.runs import RunInfo
from tests.stage import Stage, define_functions

pytestmark = pytest.mark.brokers("valkey")
sqlite = pytest.mark.databases("sqlite")
HOUR_MS = 3_600_000


@pytest.fixture
def stage(database_url: str, redis_url: str) -> Iterator[Stage]:
    app = Celery("stage", broker=redis_url, set_as_current=False)
    define_functions(inngest.Inngest(app_id="stage", celery=app))
    stage = Stage(app, database_url)
    yield stage
    stage.close()


@pytest.fixture
def operator(stage: Stage) -> Limits:
    return Limits(stage.app)


def state(stage: Stage, run: RunInfo) -> State:
    [job] = stage.jobs(run.id)
    return standing_of(stage.runtime.admission.gate, place_of_job(job), stage.clock.now()).state


def states(stage: Stage, *runs: RunInfo) -> list[str]:
    return [state(stage, run).value for run in runs]


def rows(stage: Stage) -> list[SetLimit]:
    with stage.runtime.database.autocommit() as connection:
        return [SetLimit(**row._mapping) for row in connection.execute(sa.select(schema.limit))]


def store(stage: Stage, policy: str = "concurrency.0", **config: float) -> None:
    """Store a limit as an operator does who dies before Redis has heard of it."""
    with stage.runtime.database.transaction() as connection:
        until = config.get("until")
        expires_at = None if until is None else int(until)
        limits.put(connection, SetLimit("stage-one", policy, json.dumps(config), expires_at, stage.clock.now()))


def info(operator: Limits, function_id: str) -> LimitInfo:
    [found] = operator.list(function_id)
    return found


def test_what_waits_moves_at_once(stage: Stage, operator: Limits) -> None:
    runs = [stage.send("stage/one") for _ in range(4)]
    assert states(stage, *runs) == ["called", "waiting", "waiting", "waiting"]
    stored, told = operator.set("stage-one", "concurrency.0", 3)
    assert told
    assert states(stage, *runs) == ["called", "called", "called", "waiting"]
    assert rows(stage) == [stored]
    # A lower one takes nothing away; it lets nobody in until there is room under it.
    operator.set("stage-one", "concurrency.0", 2)
    stage.work(runs[0])
    assert states(stage, *runs[1:]) == ["called", "called", "waiting"]
    assert operator.reset("stage-one", "concurrency.0") == (True, True)
    stage.work(runs[1])
    assert state(stage, runs[3]) is State.WAITING
    stage.work(runs[2])
    assert state(stage, runs[3]) is State.CALLED
    assert rows(stage) == []
    assert operator.reset("stage-one", "concurrency.0") == (False, True)


@sqlite
def test_it_reverts_by_itself_to_the_moment(stage: Stage, operator: Limits) -> None:
    operator.set("stage-one", "concurrency.0", 0, for_ms=HOUR_MS)
    run = stage.send("stage/one")
    stage.pass_time(timedelta(minutes=59))
    assert stage.tick() == []
    stage.pass_time(timedelta(minutes=2))
    assert stage.tick() == [run.id]
    assert stage.runtime.admission.refresh() == []
    assert rows(stage) == []
    second = stage.send("stage/one")
    assert state(stage, second) is State.WAITING
    operator.set("stage-one", "concurrency.0", 2, for_ms=HOUR_MS)
    assert state(stage, second) is State.CALLED
    stage.pass_time(timedelta(minutes=61))
    stage.work(run)
    assert info(operator, "stage-one").holds == {"limit": 1}


@sqlite
def test_a_worker_tells_redis_what_an_operator_could_not(stage: Stage, operator: Limits) -> None:
    runs = [stage.send("stage/one") for _ in range(3)]
    store(stage, limit=2)
    called = stage.runtime.admission.refresh()
    assert [job.subject_id for job in called] == [runs[1].id]
    # And what was taken back.
    with stage.runtime.database.transaction() as connection:
        assert limits.drop(connection, "stage-one", "concurrency.0")
    stage.runtime.admission.refresh()
    stage.work(runs[0])
    assert state(stage, runs[2]) is State.WAITING


@sqlite
def test_what_is_set_while_a_worker_reads_stays(stage: Stage, operator: Limits) -> None:
    """The worker has read that nothing is set; before it tells Redis so, an operator sets a limit."""
    gate, now = stage.runtime.admission.gate, stage.clock.now()
    operator.set("stage-one", "concurrency.0", 0)
    stage.pass_time(timedelta(seconds=1))
    code = json.dumps({"concurrency.0": {"limit": 1}}, sort_keys=True)
    gate.do("stage-one", stage.clock.now(), [["describe", "stage-one", code, "{}", now - 1]])
    assert state(stage, stage.send("stage/one")) is State.WAITING


@sqlite
def test_what_is_set_anew_does_not_expire_with_what_was_before(stage: Stage, operator: Limits) -> None:
    store(stage, limit=2, until=stage.clock.now() - 1)
    seen = rows(stage)
    with stage.runtime.database.transaction() as connection:
        limits.put(connection, SetLimit("stage-one", "concurrency.0", '{"limit": 3}', None, stage.clock.now()))
    with stage.runtime.database.transaction() as connection, pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "set_limits", lambda _: seen)
        assert limits.drop_expired(connection, stage.clock.now()) == []
    [left] = rows(stage)
    assert left.config == '{"limit": 3}'


@sqlite
def test_it_outlasts_what_redis_forgets(stage: Stage, operator: Limits, redis_url: str) -> None:
    operator.set("stage-one", "concurrency.0", 2)
    redis.Redis.from_url(redis_url).flushdb()
    assert states(stage, *[stage.send("stage/one") for _ in range(3)]) == ["called", "called", "waiting"]


@sqlite
def test_redis_forgets_while_a_place_is_held(stage: Stage, redis_url: str) -> None:
    held = stage.send("stage/one")
    stage.begin(held)
    redis.Redis.from_url(redis_url).flushdb()
    # The next one finds that out, and tells Redis of the limit and of who holds its place.
    assert states(stage, stage.send("stage/one"), held) == ["waiting", "held"]


@sqlite
def test_redis_is_away_meanwhile(stage: Stage, operator: Limits, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = stage.send("stage/one"), stage.send("stage/one")
    with monkeypatch.context() as away:
        away.setattr(stage.runtime.admission.gate, "client", connect("redis://127.0.0.1:1"))
        _, told = operator.set("stage-one", "concurrency.0", 2)
        assert not told
        assert info(operator, "stage-one").keys is None
    assert [job.subject_id for job in stage.runtime.admission.refresh()] == [second.id]
    assert states(stage, first, second) == ["called", "called"]


def test_a_throttle(stage: Stage, operator: Limits) -> None:
    runs = [stage.send("stage/paced") for _ in range(3)]
    stage.work(runs[0])
    assert states(stage, *runs[1:]) == ["waiting", "waiting"]
    operator.set("stage-paced", "throttle", 1, period_ms=10_000)
    assert info(operator, "stage-paced").holds == {"limit": 1, "period": 10_000, "burst": 0}
    stage.pass_time(timedelta(seconds=51))
    assert stage.tick() == [runs[1].id]
    stage.work(runs[1])
    stage.pass_time(timedelta(seconds=10))
    assert stage.tick() == [runs[2].id]


def test_a_budget(stage: Stage, operator: Limits) -> None:
    stage.work(stage.send("stage/costly", customer="ada", cost=12))
    run = stage.send("stage/costly", customer="ada", cost=1)
    assert state(stage, run) is State.WAITING
    [key] = info(operator, "stage-costly").keys or []
    assert (key.value, key.taken, key.waiting) == ('"ada"', 12, 1)
    operator.set("stage-costly", "budget", 12.5)
    assert state(stage, run) is State.CALLED


def test_a_rate_limit(stage: Stage, operator: Limits) -> None:
    assert stage.send("stage/rated").status is not RunStatus.SKIPPED
    assert stage.send("stage/rated").status is RunStatus.SKIPPED
    operator.set("stage-rated", "rate_limit", 100, for_ms=HOUR_MS)
    assert stage.send("stage/rated").status is not RunStatus.SKIPPED
    operator.reset("stage-rated", "rate_limit")
    assert stage.send("stage/rated").status is RunStatus.SKIPPED
    # One that an operator could not tell Redis of.
    with stage.runtime.database.transaction() as connection:
        config = '{"limit": 100, "period": 3600000}'
        limits.put(connection, SetLimit("stage-rated", "rate_limit", config, None, stage.clock.now()))
    stage.runtime.admission.refresh()
    assert stage.send("stage/rated").status is not RunStatus.SKIPPED


def test_what_is_in_use(stage: Stage, operator: Limits) -> None:
    for customer, number in (("ada", 3), ("bob", 1), ("cy", 2)):
        for _ in range(number):
            stage.send("stage/keyed", customer=customer)
    found = info(operator, "stage-keyed")
    assert found.key == "event.data.customer"
    assert [(key.value, key.taken, key.waiting) for key in found.keys or []] == [
        ('"ada"', 1, 2),
        ('"cy"', 1, 1),
        ('"bob"', 1, 0),
    ]
    [busiest] = operator.list("stage-keyed", most=1)
    assert [key.value for key in busiest.keys or []] == ['"ada"']
    stage.begin(stage.send("stage/runs"))
    stage.send("stage/runs")
    assert [(key.taken, key.waiting) for key in info(operator, "stage-runs").keys or []] == [(1, 1)]
    assert [(key.taken, key.waiting) for key in info(operator, "stage-one").keys or []] == [(0, 0)]
    stage.work(stage.send("stage/paced"))
    [throttle] = info(operator, "stage-paced").keys or []
    assert throttle.taken == 1
    assert [each.policy for each in operator.list()] == [
        "budget",
        "concurrency.0",
        "concurrency.0",
        "throttle",
        "rate_limit",
        "run_concurrency.0",
    ]


@sqlite
@pytest.mark.parametrize(
    ("function_id", "policy", "options", "error", "says"),
    [
        ("stage-nothing", "throttle", {"limit": 1}, FunctionNotRegisteredError, "stage-nothing"),
        ("stage-one", "throttle", {"limit": 1}, LimitNotFoundError, "It has: concurrency.0."),
        ("stage-free", "throttle", {"limit": 1}, LimitNotFoundError, "It has none."),
        ("stage-one", "concurrency.0", {"limit": -1}, LimitInvalidError, "--limit"),
        ("stage-one", "concurrency.0", {"limit": 1.5}, LimitInvalidError, "whole number"),
        ("stage-one", "concurrency.0", {"limit": float("nan")}, LimitInvalidError, "--limit"),
        ("stage-one", "concurrency.0", {"limit": float("inf")}, LimitInvalidError, "--limit"),
        ("stage-one", "concurrency.0", {"limit": 1, "period_ms": 1000}, LimitInvalidError, "--period"),
        ("stage-one", "concurrency.0", {"limit": 1, "burst": 1}, LimitInvalidError, "--burst"),
        ("stage-one", "concurrency.0", {"limit": 1, "for_ms": 0}, LimitInvalidError, "--for"),
        ("stage-paced", "throttle", {"limit": 1, "period_ms": 999}, LimitInvalidError, "--period"),
        ("stage-paced", "throttle", {"limit": 1, "period_ms": 8 * 86_400_000}, LimitInvalidError, "--period"),
        ("stage-paced", "throttle", {"limit": 1, "burst": -1}, LimitInvalidError, "--burst"),
        ("stage-rated", "rate_limit", {"limit": 0}, LimitInvalidError, "--limit"),
        ("stage-rated", "rate_limit", {"limit": 1, "period_ms": 2 * 86_400_000}, LimitInvalidError, "--period"),
        ("stage-costly", "budget", {"limit": 1, "period_ms": 60_000}, LimitInvalidError, "--period"),
    ],
)
def test_what_cannot_be_set(
    stage: Stage,
    operator: Limits,
    function_id: str,
    policy: str,
    options: dict[str, float],
    error: type[Exception],
    says: str,
) -> None:
    with pytest.raises(error, match=says):
        operator.set(function_id, policy, **options)  # type: ignore[arg-type]
    assert rows(stage) == []


@sqlite
def test_nothing_is_stored_where_nothing_keeps_limits(stage: Stage, operator: Limits) -> None:
    del stage.runtime.__dict__["admission"]
    stage.runtime.__dict__["redis_url"] = None
    with pytest.raises(SettingsError):
        operator.set("stage-one", "concurrency.0", 3)
    with stage.runtime.database.autocommit() as connection:
        assert connection.execute(sa.select(schema.limit)).all() == []
