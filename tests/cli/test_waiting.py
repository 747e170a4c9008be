"""Calling functions, waiting for runs, watching them; and what the exit status says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

import inngest_celery as inngest
from inngest_celery.store.rows import RunStatus
from inngest_celery.testing.inline import Inline
from tests.cli.conftest import RunCli

pytestmark = pytest.mark.databases("sqlite")


@contextmanager
def working(inline: Inline) -> Iterator[None]:
    """Let time fly meanwhile, and do what becomes due."""
    done = threading.Event()

    def work() -> None:
        while not done.wait(0.01):
            inline.advance(timedelta(hours=2))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(30)


def test_a_function_is_called(cli: RunCli, inline: Inline) -> None:
    run_id = cli("invoke", "shop-refuse", "--data", '{"n": 1, "_inngest": {"run_id": "mine"}}').stdout.strip()
    inline.drain()
    assert inline.runs.get(run_id).status is RunStatus.FAILED
    assert "(function_not_found)" in cli("functions", "invoke", "shop-nothing", status=3).output
    assert "--data" in cli("invoke", "shop-refuse", "--data", "[]", status=2).output
    assert "(run_not_ended)" in cli("invoke", "shop-refuse", "--wait", "--timeout", "0", status=5).output
    with working(inline):
        failed = cli("invoke", "shop-refuse", "--wait", "--timeout", "30", status=1)
        assert (failed.stdout, "no [brackets] here" in failed.stderr) == ("", True)
        # Nobody pays, and after three days it goes on without.
        done = cli("functions", "invoke", "shop-order", "--wait", "--timeout", "30")
    assert json.loads(done.stdout) == "receipt 7"
    assert inline.runs.get(done.stderr.split()[0]).status is RunStatus.COMPLETED


def test_a_run_is_waited_for_and_watched(cli: RunCli, inline: Inline) -> None:
    [run] = inline.send(inngest.Event(name="shop/ordered", data={"id": 1}))
    assert "(run_not_ended)" in cli("runs", "wait", run.id, "--timeout", "0", status=5).output
    assert "(run_not_ended)" in cli("runs", "watch", run.id, "--timeout", "0", status=5).output
    with working(inline):
        watched = cli("runs", "watch", run.id, "--timeout", "30").output.splitlines()
    said = [line.partition("  ")[2] for line in watched]
    assert said == [
        f"{run.id} is scheduled",
        f"{run.id} runs",
        "charge: attempt 1 failed",
        "charge: done",
        "cool down: done",
        "paid: done",
        f"{run.id} is completed",
    ]
    assert json.loads(cli("runs", "wait", run.id, "--json").stdout)["output"] == "receipt 7"
    assert json.loads(cli("runs", "wait", run.event_id).stdout) == "receipt 7"
    inline.runs.cancel(inline.send(inngest.Event(name="shop/ordered", data={"id": 2}))[0].id, "by mistake")
    [cancelled] = inline.runs.list(status=RunStatus.CANCELLED)
    assert "is cancelled: by mistake" in cli("runs", "wait", cancelled.id, status=1).stderr
    for command in ("wait", "watch"):
        assert "(run_not_found)" in cli("runs", command, "nothing", status=3).output


def test_a_run_is_run_again(cli: RunCli, inline: Inline) -> None:
    [run] = inline.send(inngest.Event(name="shop/ordered", data={"id": 1}))
    inline.advance(timedelta(hours=2))
    whole = cli("runs", "rerun", run.id).stdout.strip()
    part = cli("runs", "rerun", run.id, "--from-step", "cool down").stdout.strip()
    assert [json.loads(cli("runs", "show", each, "--json").stdout)["steps"] for each in (whole,)] == [[]]
    assert [step["id"] for step in json.loads(cli("runs", "show", part, "--json").stdout)["steps"]] == ["charge"]
    assert "(rerun_refused)" in cli("runs", "rerun", run.id, "--from-step", "nothing", status=2).output
    assert "(rerun_refused)" in cli("runs", "rerun", run.id, "--from-step", "charge", "--input", "[1]", status=2).output
    assert "--input" in cli("runs", "rerun", run.id, "--from-step", "charge", "--input", "{}", status=2).output
    assert "--from-step" in cli("runs", "rerun", run.id, "--input", "[1]", status=2).output
    assert "(run_not_found)" in cli("runs", "rerun", "nothing", status=3).output
