"""Redis behind sentinels as broker, for results and for limits: a failover in the middle of runs loses none of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from inngest_celery.flow import sentinels
from inngest_celery.store import schema
from tests.conftest import StartWorker
from tests.e2e.limited import Limited, most_at_once
from tests.redis_sentinel import MASTER, Watched


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with closing(Watched(tmp_path / "redis")) as watched:
        yield watched


@pytest.mark.databases("postgres")
def test_a_failover_in_the_middle_of_runs(
    watched: Watched, database_url: str, tmp_path: Path, start_worker: StartWorker
) -> None:
    limited = Limited(database_url, watched.broker_url, watched.url, tmp_path, start_worker)
    options = {"master_name": MASTER}
    limited.configure(
        broker_transport_options=options,
        result_backend=watched.broker_url,
        result_backend_transport_options=options,
    )
    # The workers keep limits in their broker.
    limited.environment["INNGEST_REDIS_URL"] = ""
    with closing(limited):
        limited.worker(pool="prefork", concurrency=2)
        limited.worker(pool="threads", concurrency=2)
        for function in ("free", "three", "keyed"):
            limited.send(function, 40, keys=4, seconds=0.05)
        limited.wait_for_bodies(30)
        watched.fail_over()
        limited.redis_url = watched.master_url()
        limited.send("free", 10)
        limited.wait_for_runs()
        limited.check_all_done()
        # No worker was cut off for longer than its lease, so the limit has held through it.
        assert most_at_once(limited.bodies("three")) <= 3
        last = limited.ask(schema.run.select().order_by(schema.run.c.ended_at.desc()).limit(1))[0]
        result = limited.celery.AsyncResult(last.id)
        assert result.get(timeout=10) == "done"


def test_the_url_is_that_of_celery() -> None:
    given = sentinels.read("sentinel://:own%2Fpassword@a:1;sentinel://b/3?master_name=jobs&sentinel_password=x")
    assert given.hosts == [("a", 1), ("b", 26379)]
    assert (given.master_name, given.database, given.own, given.theirs) == (
        "jobs",
        3,
        {"password": "own/password"},
        {"password": "x"},
    )
    options = {"master_name": "jobs", "sentinel_kwargs": {"password": "a b"}}
    url = sentinels.url_of_broker("sentinel://a;sentinel://b", options)
    assert (sentinels.read(url).master_name, sentinels.read(url).theirs) == ("jobs", {"password": "a b"})
    assert "a b" not in sentinels.shown(url)
    for wrong in ("sentinel://", "redis://a;sentinel://b", "sentinel://a?jobs"):
        with pytest.raises(ValueError):  # noqa: PT011
            sentinels.read(wrong)
