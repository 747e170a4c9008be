"""The broker forgets, messages come twice, workers freeze and connections break: nothing is lost or recorded twice."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import pytest
import redis
import sqlalchemy as sa

from inngest_celery.clock import SharedClock
from inngest_celery.store import schema
from inngest_celery.worker.hints import HEADER
from tests.e2e.conftest import OpenShop
from tests.e2e.shop import Shop
from tests.waiting import wait_until

HOT, HOP = 0.25, 0.0
_ECHOES = 3
both_modes = pytest.mark.parametrize("slice_seconds", [HOT, HOP], ids=["hot", "hop"])


@pytest.mark.pairs
@pytest.mark.brokers("valkey", "redis")
@both_modes
def test_the_broker_forgets_everything(slice_seconds: float, open_shop: OpenShop) -> None:
    shop = open_shop(slice=slice_seconds)
    shop.worker(pool="threads", concurrency=4)
    shop.place(6)
    for seen in (3, 20):
        shop.wait_for_bodies(seen)
        with redis.Redis.from_url(shop.broker_url) as broker:
            # Of the test's own database; with its queues go the consumer's unacknowledged messages.
            broker.flushdb()
    shop.wait_for_runs()
    shop.check(repeats=0)


@pytest.mark.pairs
@both_modes
def test_every_hint_comes_twice(slice_seconds: float, open_shop: OpenShop) -> None:
    shop = open_shop(slice=slice_seconds)
    ended = threading.Event()
    echo = threading.Thread(target=_repeat_hints, args=(shop, ended))
    echo.start()
    try:
        shop.worker(pool="threads", concurrency=4)
        shop.place(6)
        shop.wait_for_runs()
    finally:
        ended.set()
        echo.join()
    shop.check(repeats=0)


def _repeat_hints(shop: Shop, ended: threading.Event) -> None:
    """Send another hint for every job there is, up to three for each attempt.

    Without end it would be more than a slow machine's workers take up, and each hint that counts would stand in line
    behind thousands of these.
    """
    job, sent = schema.job, Counter[tuple[str, str, int]]()
    query = sa.select(job.c.subject_id, job.c.key, job.c.attempt, job.c.task_name, job.c.queue)
    while not ended.wait(0.02):
        for row in shop.ask(query):
            attempt = (row.subject_id, row.key, row.attempt)
            if sent[attempt] == _ECHOES:
                continue
            sent[attempt] += 1
            shop.celery.send_task(
                row.task_name,
                kwargs={"run": row.subject_id, "step": row.key},
                queue=row.queue,
                headers={HEADER: True},
                ignore_result=True,
            )


@pytest.mark.pairs
def test_what_came_in_time_counts_though_all_workers_were_dead_until_later(
    open_shop: OpenShop, clock_file: Path
) -> None:
    shop = open_shop(clock=f"file:{clock_file}")
    worker = shop.worker(pool="threads", concurrency=4)
    shop.place(6)
    wait_until(lambda: shop.count(schema.wait) == 6, 60.0, shop.describe)
    worker.sigkill()
    shop.approve()
    # They wait for an hour.
    SharedClock(clock_file).advance(7_200_000)
    shop.worker(pool="threads", concurrency=4)
    shop.wait_for_runs()
    shop.check(repeats=0)


@pytest.mark.pairs
@both_modes
def test_a_worker_freezes_past_its_lease(slice_seconds: float, open_shop: OpenShop, clock_file: Path) -> None:
    # Its time is up when the clock says so: a short lease could also run out for the one that goes on.
    shop = open_shop(slice=slice_seconds, lease=10, clock=f"file:{clock_file}")
    frozen = shop.worker(pool="solo")
    shop.gate.touch()
    shop.place(1)
    shop.wait_for_bodies(1)
    # While it cannot write: SQLite has one right to do so, and whoever is frozen with it keeps it.
    with shop.runtime.database.transaction():
        frozen.sigstop()
    shop.gate.unlink()
    SharedClock(clock_file).advance(11_000)
    shop.worker(pool="solo")
    shop.wait_for_runs()
    frozen.sigcont()
    wait_until(lambda: "was not recorded" in frozen.log, message="the late result to be refused")
    shop.check(repeats=1)


@pytest.mark.pairs
@pytest.mark.databases("postgres", "mariadb")
@both_modes
def test_the_database_drops_every_connection(slice_seconds: float, open_shop: OpenShop) -> None:
    shop = open_shop(slice=slice_seconds)
    shop.worker(pool="threads", concurrency=4)
    shop.place(6)
    for seen in (3, 10, 20, 30):
        shop.wait_for_bodies(seen)
        shop.break_connections()
    shop.wait_for_runs()
    # Each cut may take the result of every body that runs at that moment.
    shop.check(repeats=4 * 4)
