"""Limits that are changed while workers work: whatever waits goes at once, and the change ends by itself."""

from __future__ import annotations

import sys
import time
from types import ModuleType

import pytest
from click.testing import CliRunner

from inngest_celery.cli import main
from tests.e2e.conftest import OpenLimited
from tests.e2e.limited import Limited, most_at_once
from tests.waiting import wait_until

pytestmark = pytest.mark.pairs
MODULE = "limited_web"


@pytest.fixture
def limited(open_limited: OpenLimited, monkeypatch: pytest.MonkeyPatch) -> Limited:
    limited = open_limited()
    module = ModuleType(MODULE)
    module.app = limited.celery  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, MODULE, module)
    return limited


def command(*arguments: str) -> str:
    """Run the command line as in another process: it has none of the functions."""
    result = CliRunner().invoke(main, ["-A", MODULE, *arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def test_a_raised_limit_lets_go_what_waits_and_reverts(limited: Limited) -> None:
    limited.gate.touch()
    limited.worker(pool="threads", concurrency=4)
    limited.send("one", 6, seconds=0.05)
    limited.wait_for_bodies(1)
    [executing] = {body.run for body in limited.bodies()}

    def in_line() -> bool:
        runs = [run.id for run in limited.client.runs.list(function_id="limited-one") if run.id != executing]
        said = command("why", runs[0], "--timeout", "0") if runs else ""
        return "in line" in said and executing in said

    wait_until(in_line, message="a run in line behind the one that executes")

    sent = time.time()
    command("limits", "set", "limited-one", "concurrency.0", "--limit", "3", "--for", "3s")
    expires_at = time.time() + 3
    limited.wait_for_bodies(3)
    assert time.time() - sent < 3, "they had to wait"

    wait_until(lambda: time.time() > expires_at, message="the end of the change")
    limited.gate.unlink()
    limited.wait_for_runs()
    bodies = limited.bodies()
    assert len(bodies) == 6
    assert most_at_once(bodies) == 3
    assert most_at_once(body for body in bodies if body.began > expires_at) == 1
    limited.check_all_done()


def test_a_function_that_is_stopped_for_a_while_goes_on_by_itself(limited: Limited) -> None:
    limited.worker(pool="threads", concurrency=4)
    before = time.time()
    command("limits", "set", "limited-one", "concurrency.0", "--limit", "0", "--for", "2s")
    after = time.time()
    limited.send("one", 3)
    limited.wait_for_runs()
    first = min(body.began for body in limited.bodies())
    # And not only when a worker looks what has changed, each half a minute.
    assert before + 2 <= first < after + 12
    limited.check_all_done()
