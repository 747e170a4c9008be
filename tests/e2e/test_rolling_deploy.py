"""Two versions side by side, as in a rolling deploy: no run is lost, and none is done twice."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from inngest_celery.store.migrate import upgrade
from tests.conftest import StartWorker
from tests.e2e.shop import Shop
from tests.nursery import ROOT

# The version before this one: raised when a version is released.
PREVIOUS = "6c038611bdf61fa29d08ee63552468ed7ec555d3"

pytestmark = [pytest.mark.databases("postgres"), pytest.mark.brokers("redis")]

SEND = """
import json, sys
import inngest_celery as inngest
assert inngest.__file__.startswith(sys.argv[2]), inngest.__file__
from tests.e2e.orders_app import client
client.send_sync([inngest.Event(name="order/placed", data={"order": number}) for number in json.loads(sys.argv[1])])
"""


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source of the version before, out of the repository's history."""
    archive = subprocess.run(
        ["git", "archive", PREVIOUS, "inngest_celery", "migrations"], cwd=ROOT, capture_output=True, check=False
    )
    if archive.returncode:
        pytest.skip("the version before is not there: this is no clone with its history")
    directory = tmp_path_factory.mktemp("previous")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(directory, filter="data")
    return directory


@pytest.fixture
def shop(empty_database_url: str, broker_url: str, tmp_path: Path, start_worker: StartWorker) -> Iterator[Shop]:
    shop = Shop(empty_database_url, broker_url, tmp_path, start_worker)
    yield shop
    shop.close()


def run_previous(shop: Shop, previous: Path, *arguments: str) -> None:
    """Run Python with the version before."""
    path = os.pathsep.join([str(previous), str(ROOT)])
    environment = {**os.environ, **shop.environment, "PYTHONPATH": path}
    subprocess.run([sys.executable, *arguments], env=environment, cwd=previous, check=True, timeout=120)


def place_with_previous(shop: Shop, previous: Path, orders: int) -> None:
    run_previous(shop, previous, "-c", SEND, str(list(shop.numbers(orders))), str(previous))


def test_runs_go_from_version_to_version(shop: Shop, previous: Path) -> None:
    run_previous(shop, previous, "-m", "celery", "-A", "tests.e2e.orders_app", "inngest", "migrate")
    old = shop.worker(pool="threads", concurrency=2, source=previous)
    place_with_previous(shop, previous, 3)
    # The migration comes first, while the version before is at work.
    upgrade(shop.runtime.database)
    place_with_previous(shop, previous, 2)
    shop.wait_for_bodies(6)
    new = shop.worker(pool="threads", concurrency=2)
    shop.place(3)
    shop.wait_for_bodies(16)
    old.stop()
    place_with_previous(shop, previous, 2)
    shop.wait_for_bodies(24)
    # And back again: what the new version has begun goes on in the one before.
    back = shop.worker(pool="threads", concurrency=2, source=previous)
    assert "migrated for a newer release" in back.log
    shop.place(2)
    new.stop()
    shop.wait_for_runs()
    shop.check(repeats=0)
