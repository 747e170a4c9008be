"""What a limit on a Celery task costs, counted in a worker within this process."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator

import pytest
import redis
import sqlalchemy as sa
from celery import Celery, _state
from celery.contrib.testing.worker import start_worker

import inngest_celery as inngest
from inngest_celery.worker.runtime import runtime_of

pytestmark = [pytest.mark.databases("sqlite"), pytest.mark.brokers("valkey")]

CALLS = 100
# These work for all, whatever is called.
BACKGROUND = {"inngest-sweep", "inngest-leases"}


def scripts_run(url: str) -> int:
    with redis.Redis.from_url(url) as client:
        return int(client.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0))


@pytest.fixture
def process() -> Iterator[None]:
    """The process as it was before: a worker within it takes its log, and makes its app everybody's."""
    root, default, current = logging.getLogger(), _state.default_app, _state._tls.current_app
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
    _state.default_app, _state._tls.current_app = default, current


@pytest.mark.usefixtures("process")
def test_with_room_a_call_costs_two_round_trips_and_no_sql(database_url: str, broker_url: str, redis_url: str) -> None:
    app = Celery("counted", broker=broker_url, backend=redis_url, set_as_current=False)
    app.conf.update(inngest_database_url=database_url, inngest_redis_url=redis_url)
    client = inngest.Inngest(app_id="counted", celery=app)

    @client.limit(
        concurrency=[inngest.Concurrency(limit=50, key="args[0]"), inngest.Concurrency(limit=100)],
        throttle=inngest.Throttle(limit=10_000, period=1000),
    )
    @app.task(name="counted", shared=False)  # type: ignore[untyped-decorator]
    def counted(number: int) -> int:
        return number

    statements: Counter[str] = Counter()
    engine = runtime_of(app).database.engine

    @sa.event.listens_for(engine, "before_cursor_execute")
    def count(*_: object) -> None:
        statements[threading.current_thread().name] += 1

    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=30):
        assert counted.delay(0).get(timeout=30) == 0
        statements.clear()
        before = scripts_run(redis_url)
        assert [counted.delay(number).get(timeout=30) for number in range(CALLS)] == list(range(CALLS))
        round_trips = scripts_run(redis_url) - before
        asked = {name: number for name, number in statements.items() if name not in BACKGROUND}
    runtime_of(app).database.dispose()
    assert asked == {}, "SQL statements by thread"
    # The last call's end may be still to come; the clock looks once a second, and a lease is renewed now and then.
    assert 2 * CALLS - 1 <= round_trips <= 2.2 * CALLS
