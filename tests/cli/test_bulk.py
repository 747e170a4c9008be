"""cancel and replay of many runs: counted, confirmed, interrupted, repeated."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import inngest_celery as inngest
from inngest_celery.store.rows import RunStatus
from inngest_celery.testing.inline import Inline
from tests.cli.conftest import RunCli
from tests.worker_process import ROOT

pytestmark = pytest.mark.databases("sqlite")


def send(inline: Inline, name: str, count: int = 1) -> list[str]:
    return [inline.send(inngest.Event(name=name, data={"id": number}))[0].id for number in range(count)]


def ids_of(cli: RunCli, status: RunStatus) -> set[str]:
    return {run["id"] for run in json.loads(cli("runs", "list", "--json", "--status", status.name.lower()).stdout)}


def test_many_are_cancelled_once_they_were_counted(cli: RunCli, inline: Inline) -> None:
    first, second, third = send(inline, "shop/ordered", 3)
    some = ("cancel", "--function", "shop-order", "--where", "event.data.id > 0")
    assert "2 runs would be cancelled" in cli(*some, "--dry-run").output
    assert json.loads(cli(*some, "--dry-run", "--json").stdout) == {"dry_run": True, "chosen": 2}
    # Nobody is at this terminal.
    assert "(confirmation_needed)" in cli(*some, status=2).output
    assert ids_of(cli, RunStatus.CANCELLED) == set()
    assert "2 runs cancelled." in cli(*some, "--yes", "--reason", "by mistake").output
    assert ids_of(cli, RunStatus.CANCELLED) == {second, third}
    assert inline.runs.get(second).reason == "by mistake"
    assert json.loads(cli("cancel", "--all", "--yes", "--json").stdout) == {
        "chosen": 1,
        "cancelled": 1,
        "ended_before": 0,
    }
    assert inline.runs.get(first).status is RunStatus.CANCELLED
    assert "0 runs cancelled." in cli("cancel", "--all").output


@pytest.mark.parametrize("command", ["cancel", "replay"])
def test_what_is_not_said_concerns_nobody(cli: RunCli, inline: Inline, command: str) -> None:
    send(inline, "shop/ordered")
    assert "--all" in cli(command, "--yes", status=2).output
    assert "--all" in cli(command, "--yes", "--all", "--since", "2h", status=2).output
    assert "(function_not_found)" in cli(command, "--yes", "--function", "shop-ordr", status=3).output
    assert "(app_not_found)" in cli(command, "--yes", "--app", "shp", status=3).output
    assert "(expression_" in cli(command, "--yes", "--where", "event.data.id ==", status=2).output
    assert "--since" in cli(command, "--yes", "--since", "yesterday", status=2).output
    assert len(inline.runs.list()) == 1


def test_failed_runs_are_run_again_each_once(cli: RunCli, inline: Inline) -> None:
    send(inline, "shop/refused", 3)
    send(inline, "shop/ordered")
    inline.clock.advance(1000)
    some = ("replay", "--app", "shop", "--json", "--yes")
    done = cli(*some)
    replay = json.loads(done.stdout)
    assert f"--resume {replay['replay_id']}" in done.stderr
    assert (replay["chosen"], replay["started"], replay["started_before"]) == (3, 3, 0)
    inline.drain()
    again = json.loads(cli(*some, "--resume", replay["replay_id"]).stdout)
    assert (again["chosen"], again["started"], again["started_before"]) == (3, 0, 3)
    assert Counter(run.function_id for run in inline.runs.list()) == {"shop-refuse": 6, "shop-order": 1}
    assert "(replay_id_invalid)" in cli(*some, "--resume", "nothing", status=2).output
    cli("functions", "archive", "shop-refuse")
    refused = cli("replay", "--function", "shop-refuse", "--yes", status=1)
    assert "6 runs cannot be repeated: the function shop-refuse is not registered" in refused.stderr


APP = """
from celery import Celery
import inngest_celery as inngest

app = Celery("proj", broker="memory://")
app.conf.inngest_database_url = {url!r}
client = inngest.Inngest(app_id="proj", celery=app)

@client.create_function(fn_id="fail", trigger=inngest.TriggerEvent(event="go"), retries=0)
def fail(ctx: inngest.ContextSync) -> None:
    raise ValueError("no")
"""


def test_a_replay_that_was_killed_goes_on(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "proj.py").write_text(APP.format(url=database_url))
    namespace: dict[str, object] = {}
    exec((tmp_path / "proj.py").read_text(), namespace)  # noqa: S102
    inline = Inline(namespace["app"], database_url=database_url)  # type: ignore[arg-type]
    inline.send(*(inngest.Event(name="go") for _ in range(3)))
    orders = tmp_path / "orders"
    orders.mkdir()
    (orders / "bulk_replayed").touch()
    command = [
        sys.executable,
        "-c",
        "from inngest_celery.cli import main; main()",
        "-A",
        "proj",
        "replay",
        "--all",
        "-y",
    ]
    environment = {"PYTHONPATH": f"{ROOT}:{tmp_path}", "INNGEST_TEST_CRASH": str(orders)}

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *options], cwd=tmp_path, env=environment, capture_output=True, text=True)

    killed = run()
    assert killed.returncode == -signal.SIGKILL
    # It was committed, and nobody was told.
    assert len(inline.runs.list()) == 4
    [replay_id] = set(re.findall(r"--resume (\w+)", killed.stderr))
    assert "2 runs started. 1 run had been started before." in run("--resume", replay_id).stdout
    assert set(Counter(run.event_id for run in inline.runs.list()).values()) == {2}
    inline.drain()
    assert {run.status for run in inline.runs.list()} == {RunStatus.FAILED}
