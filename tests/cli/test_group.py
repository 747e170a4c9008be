"""What all commands share: how they find the app, how they fail, and that they cost other programs nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from celery import Celery
from click.testing import CliRunner

from inngest_celery.cli import COMMANDS, main
from tests.cli.conftest import MODULE, RunCli
from tests.nursery import ROOT


def test_every_command_is_listed_with_what_it_does(cli: RunCli) -> None:
    output = cli("--help").output
    for name in COMMANDS:
        assert f"\n  {name} " in output
    assert "Exit status:" in output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(cli: RunCli, name: str) -> None:
    assert "Usage:" in cli(name, "--help").output


def test_the_app_is_needed() -> None:
    result = CliRunner().invoke(main, ["runs", "list"], env={"CELERY_APP": ""})
    assert result.exit_code == 2
    assert "-A" in result.output


def test_the_app_may_come_from_the_environment(shop: Celery, empty_database_url: str) -> None:
    shop.conf.inngest_database_url = empty_database_url
    result = CliRunner().invoke(main, ["migrate"], env={"CELERY_APP": MODULE})
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(("name", "said"), [("nowhere", "no module 'nowhere'"), ("json:nothing", "no such attribute")])
def test_an_app_that_is_not_there(name: str, said: str) -> None:
    result = CliRunner().invoke(main, ["-A", name, "runs", "list"])
    assert result.exit_code == 2
    assert said in result.output


def test_errors_carry_their_code_and_a_status(cli: RunCli, shop: Celery, empty_database_url: str) -> None:
    shop.conf.inngest_database_url = empty_database_url
    assert "(database_not_migrated)" in cli("runs", "list", status=4).output
    assert "(event_name_invalid)" in cli("send", " ", status=2).output
    shop.conf.inngest_database_url = "postgresql+psycopg://nobody:secret@127.0.0.1:1/nothing"
    del shop.__dict__["inngest_runtime"]
    output = cli("runs", "list", status=4).output
    assert "(database_unreachable)" in output
    assert "secret" not in output


def test_an_unknown_setting_is_explained(cli: RunCli, shop: Celery) -> None:
    shop.conf.inngest_horizn = 3
    output = cli("runs", "list", status=2).output
    assert "inngest_horizn" in output
    assert "(setting_invalid)" in output


def test_a_dev_stack_in_this_directory_is_found(
    cli: RunCli, shop: Celery, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CELERY_BROKER_URL", "")
    (tmp_path / ".inngest").mkdir()
    (tmp_path / ".inngest" / "valkey.port").write_text("4711")
    shop.conf.inngest_database_url = database_url
    cli("runs", "list")
    assert shop.conf.broker_url == "memory://"
    shop.conf.broker_url = None
    cli("runs", "list")
    assert shop.conf.broker_url == "redis://127.0.0.1:4711/0"


def test_the_celery_program_has_the_same_commands(tmp_path: Path) -> None:
    (tmp_path / "proj.py").write_text(
        "from celery import Celery\n"
        "import inngest_celery\n"
        "app = Celery('proj', broker='memory://')\n"
        "client = inngest_celery.Inngest(app_id='proj', celery=app)\n"
        "@client.create_function(fn_id='greet', trigger=inngest_celery.TriggerEvent(event='a/b'))\n"
        "def greet(ctx: inngest_celery.ContextSync) -> None: ...\n"
    )
    for command, said in (
        (["migrate"], "is migrated."),
        (["migrate", "--check"], "up to date"),
        (["send", "a/b"], "01"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "celery", "-A", "proj", "inngest", *command],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, said in done.stdout) == (0, True), done.stdout + done.stderr


def test_importing_the_commands_loads_none() -> None:
    """Every run of the celery program imports them."""
    code = "import inngest_celery.cli, sys; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"rich", "sqlalchemy", "alembic", "redis", "inngest_celery.store", "inngest_celery.worker"}
    assert {name for name in loaded if name.startswith("inngest_celery.cli")} == {
        "inngest_celery.cli",
        "inngest_celery.cli.group",
    }
