"""A plain fleet on its way from a canvas to durable functions: the same tests at every step."""

from __future__ import annotations

import importlib
import itertools
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from examples.moving.fleet import pictures
from tests.conftest import StartWorker
from tests.waiting import wait_until

LONG = 60
STEPS = ("before", "step_1", "step_2", "step_3")
PACKAGE = "examples.moving.fleet"

pytestmark = [pytest.mark.databases("sqlite"), pytest.mark.brokers("valkey")]


class Fleet:
    """The fleet's workers, at whatever step, and those who call it by a task's name alone."""

    def __init__(
        self, directory: Path, environment: dict[str, str], start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.directory = directory
        self._environment = environment
        self._start = start_worker
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        for name in [name for name in sys.modules if name.startswith(PACKAGE)]:
            monkeypatch.delitem(sys.modules, name)
        self.app: Any = importlib.import_module(f"{PACKAGE}.before").app

    def workers(self, step: str, *queues: str) -> list[Any]:
        """Start a worker for each queue."""
        return [
            self._start(
                f"{PACKAGE}.{step}",
                pool="threads",
                concurrency=2,
                queues=[queue],
                env={**self._environment, "WORKER": queue},
            )
            for queue in queues
        ]

    def ingest(self, picture: str, size: int = 500) -> Any:
        if not picture.startswith("missing"):
            (self.directory / picture).write_text("x" * size)
        return self.app.send_task("fleet.ingest", [picture])

    def journal(self) -> Counter[tuple[str, str]]:
        """How often each worker has done what."""
        path = self.directory / "journal"
        lines = path.read_text().splitlines() if path.exists() else []
        return Counter((worker, what) for worker, what, _ in (line.split("|") for line in lines))


@pytest.fixture
def fleet(
    database_url: str, broker_url: str, tmp_path: Path, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> Fleet:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    environment = {
        "BROKER_URL": broker_url,
        "RESULT_BACKEND": broker_url,
        "PICTURES": str(pictures),
        "INNGEST_DATABASE_URL": database_url,
        "INNGEST_SWEEP_INTERVAL": "0.2",
        "INNGEST_RETRY_INTERVAL": "0.1",
    }
    return Fleet(pictures, environment, start_worker, monkeypatch)


@pytest.mark.parametrize("step", STEPS)
def test_the_fleet_does_what_it_did(step: str, fleet: Fleet) -> None:
    fleet.workers(step, "io", "cpu")
    assert fleet.ingest("cat").get(timeout=LONG) == {"picture": "cat", "bytes": 64 + 256 + 500}
    assert fleet.ingest("flaky dog", size=100).get(timeout=LONG) == {"picture": "flaky dog", "bytes": 64 + 100 + 100}
    with pytest.raises(Exception, match="No such file"):
        fleet.ingest("missing bird").get(timeout=LONG)
    # What takes much is done where that belongs, and nothing twice.
    assert fleet.journal() == {("io", "copy"): 4, ("cpu", "shrink"): 6, ("io", "publish"): 2}


@pytest.mark.parametrize(("step", "following"), list(itertools.pairwise(STEPS)))
def test_what_is_on_its_way_arrives(step: str, following: str, fleet: Fleet) -> None:
    """A deploy: some calls are half done, some are only messages."""
    [io] = fleet.workers(step, "io")
    begun = fleet.ingest("half done")
    wait_until(lambda: fleet.journal()["io", "copy"] == 1, LONG, "the first call to begin")
    io.stop()
    waiting = fleet.ingest("only a message")
    fleet.workers(following, "io", "cpu")
    for result in (begun, waiting):
        assert result.get(timeout=LONG)["bytes"] == 64 + 256 + 500
    # Step 3 has other steps for it: what the half done call was waiting for is done once more, in vain.
    again = len(pictures.WIDTHS) if following == "step_3" else 0
    assert fleet.journal() == {("io", "copy"): 2, ("cpu", "shrink"): 6 + again, ("io", "publish"): 2}
