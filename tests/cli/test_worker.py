"""worker passes on to Celery's; the shell completes what only the database knows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from celery import Celery
from click.shell_completion import ShellComplete

import inngest_celery as inngest
from inngest_celery.cli import main
from inngest_celery.cli.stack import BUILT_IN
from inngest_celery.cli.worker import command_line
from inngest_celery.testing.inline import Inline
from tests.cli.conftest import MODULE
from tests.worker_process import ROOT

pytestmark = pytest.mark.databases("sqlite")


def test_a_worker_serves_the_queues_of_the_functions() -> None:
    app = Celery("queues", broker="memory://", set_as_current=False)
    client = inngest.Inngest(app_id="queues", celery=app)
    options = {"queue": "mail"}
    client.create_function(fn_id="a", trigger=inngest.TriggerEvent(event="a/b"), celery_options=options)(
        lambda ctx: None
    )
    assert command_line("proj", app, ["-c", "3"])[2:] == [
        *("celery", "-A", "proj", "worker", "-Q", "celery,mail", "-c", "3"),
    ]
    for own in (["-Q", "mail"], ["-Qmail"], ["--queues", "mail"], ["--queues=mail"]):
        assert command_line("proj", app, own)[-len(own) - 1 :] == ["worker", *own]
    assert command_line(BUILT_IN, app, [])[-2:] == ["-P", "threads"]
    assert command_line(BUILT_IN, app, ["--pool=solo"])[-1:] == ["--pool=solo"]


def test_celery_gets_the_options(tmp_path: Path) -> None:
    (tmp_path / "proj.py").write_text(
        "from celery import Celery\napp = Celery('proj', broker='memory://', task_always_eager=True)\n"
    )
    command = [
        sys.executable,
        "-c",
        "from inngest_celery.cli import main; main()",
        "-A",
        "proj",
        "worker",
        "-P",
        "soil",
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": f"{ROOT}:{tmp_path}"}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "-Q celery -P soil" in done.stderr
    assert "task_always_eager: " in done.stderr
    assert "'soil' is not one of" in done.stderr


@pytest.mark.parametrize(
    ("typed", "incomplete", "offered"),
    [
        (["functions", "pause"], "shop-o", ["shop-order"]),
        (["runs", "list", "--function"], "", ["shop-order", "shop-refuse"]),
        (["replay", "--app"], "s", ["shop"]),
        (["cancel", "--status"], "s", ["scheduled", "skipped"]),
        (["ru"], "ru", ["runs"]),
    ],
)
def test_the_shell_is_offered_values(inline: Inline, typed: list[str], incomplete: str, offered: list[str]) -> None:
    shell = ShellComplete(main, {}, "inngest-celery", "_INNGEST_CELERY_COMPLETE")
    before = [] if typed == ["ru"] else typed
    found = shell.get_completions(["-A", MODULE, *before], incomplete)
    assert [each.value for each in found] == offered


def test_the_shell_is_offered_nothing_where_there_is_nothing() -> None:
    shell = ShellComplete(main, {}, "inngest-celery", "_INNGEST_CELERY_COMPLETE")
    assert shell.get_completions(["-A", "nowhere", "functions", "pause"], "") == []
    assert shell.get_completions(["functions", "pause"], "") == []
