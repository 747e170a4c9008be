"""``dev`` as a real process tree: up with what is missing, up again after a crash, gone without a trace."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa

from inngest_celery.store import schema
from inngest_celery.store.database import Database
from inngest_celery.store.rows import RunStatus
from tests.nursery import ROOT
from tests.waiting import wait_until

APP = """
import os
from celery import Celery
import inngest_celery as inngest

app = Celery("proj", broker=os.environ.get("OWN_BROKER"))
if "OWN_DATABASE" in os.environ:
    app.conf.inngest_database_url = os.environ["OWN_DATABASE"]
client = inngest.Inngest(app_id="proj", celery=app)

@client.create_function(
    fn_id="greet", trigger=inngest.TriggerEvent(event="user/joined"), celery_options={"queue": "greetings"}
)
def greet(ctx: inngest.ContextSync) -> str:
    return "hello"
"""
CLI = [sys.executable, "-c", "from inngest_celery.cli import main; main()"]
StartDev = Callable[..., "Dev"]


class Dev:
    """``inngest-celery dev`` in a directory of its own."""

    def __init__(self, directory: Path, *options: str, **env: str) -> None:
        self.directory = directory
        (directory / "proj.py").write_text(APP)
        self._log = directory / "dev.log"
        without = {name: value for name, value in os.environ.items() if not name.startswith(("CELERY_", "INNGEST_"))}
        self._env = {**without, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **env}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*CLI, "dev", "-A", "proj", "-P", "threads", "-p", "0", *options],
                cwd=directory,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def wait_ready(self, times: int = 1) -> None:
        wait_until(
            lambda: self.log.count(" ready.") >= times or self.process.poll() is not None,
            40,
            lambda: self.log,
        )
        assert self.process.poll() is None, self.log

    def run(self, *command: str) -> str:
        """Run another command in the same directory, as in another terminal."""
        done = subprocess.run(
            [*CLI, "-A", "proj", *command],
            cwd=self.directory,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def worker(self) -> psutil.Process:
        [worker] = [process for process in self.family() if "celery" in process.cmdline()[1:3]]
        return worker

    def close(self) -> None:
        if self.process.poll() is None:
            family = self.family()
            self.process.kill()
            self.process.wait()
            for process in family:
                if process.is_running():
                    process.kill()


@pytest.fixture
def start_dev(tmp_path: Path) -> Iterator[StartDev]:
    started: list[Dev] = []

    def start(*options: str, **env: str) -> Dev:
        started.append(Dev(tmp_path, *options, **env))
        return started[-1]

    yield start
    for dev in started:
        dev.close()


def completed(database: Database) -> int:
    table = schema.run
    query = sa.select(sa.func.count()).where(table.c.status == RunStatus.COMPLETED.value)
    with database.autocommit() as connection:
        return int(connection.execute(query).scalar_one())


def gone(processes: list[psutil.Process]) -> bool:
    return not [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


def test_from_nothing_to_a_run_through_a_crash_to_the_end(start_dev: StartDev, tmp_path: Path) -> None:
    dev = start_dev()
    dev.wait_ready()
    assert "send user/joined" in dev.log
    database = Database(f"sqlite:///{tmp_path / '.inngest' / 'inngest.db'}")

    assert len(dev.run("send", "user/joined")) == 26
    wait_until(lambda: completed(database) == 1, 60, lambda: dev.log)

    dev.worker().kill()
    dev.wait_ready(times=2)
    assert "The worker ended with status" in dev.log
    dev.run("send", "user/joined")
    wait_until(lambda: completed(database) == 2, 60, lambda: dev.log)

    family = dev.family()
    dev.process.send_signal(signal.SIGINT)
    assert dev.process.wait(30) == 0, dev.log
    assert "Warm shutdown" in dev.log
    wait_until(lambda: gone(family), 60, "the end of all processes")


def test_nothing_stays_behind_when_it_is_killed(start_dev: StartDev) -> None:
    dev = start_dev()
    dev.wait_ready()
    family = dev.family()
    dev.process.kill()
    dev.process.wait()
    wait_until(lambda: gone(family), 60, "the end of all processes")


def test_without_what_http_takes(start_dev: StartDev, tmp_path: Path) -> None:
    """Who has installed no server has an app's functions run all the same, and is told what more there is."""
    lacking = tmp_path / "lacking"
    lacking.mkdir()
    (lacking / "fastapi.py").write_text("raise ModuleNotFoundError('No module named fastapi', name='fastapi')")
    path = f"{lacking}{os.pathsep}{ROOT}"
    dev = start_dev(PYTHONPATH=path)
    dev.wait_ready()
    assert "server     none: pip install 'inngest-celery[server]'" in dev.log
    dev.run("send", "user/joined")
    database = Database(f"sqlite:///{tmp_path / '.inngest' / 'inngest.db'}")
    wait_until(lambda: completed(database) == 1, 60, lambda: dev.log)

    key = "ab" * 32
    for command in (["dev"], ["start", "--signing-key", key, "--event-key", "k"]):
        env = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run([*CLI, *command], cwd=lacking, env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode != 0
        assert "server_missing" in done.stderr
        assert "fastapi is missing" in done.stderr


@pytest.mark.brokers("valkey")
@pytest.mark.databases("sqlite")
def test_what_the_app_has_is_used(
    start_dev: StartDev, tmp_path: Path, broker_url: str, empty_database_url: str
) -> None:
    dev = start_dev(OWN_BROKER=broker_url, OWN_DATABASE=empty_database_url)
    dev.wait_ready()
    assert "embedded" not in dev.log
    assert not (tmp_path / ".inngest" / "valkey").exists()
    dev.run("send", "user/joined")
    database = Database(empty_database_url)
    wait_until(lambda: completed(database) == 1, 60, lambda: dev.log)
    dev.process.terminate()
    assert dev.process.wait(30) == 0


@pytest.mark.brokers("valkey")
def test_the_embedded_stack_can_be_forced(start_dev: StartDev, tmp_path: Path, broker_url: str) -> None:
    dev = start_dev("--embedded", "--dir", "stack", OWN_BROKER=broker_url)
    dev.wait_ready()
    assert re.search(r"^broker .*\(embedded\)$", dev.log, re.MULTILINE)
    port = (tmp_path / "stack" / "valkey.port").read_text()
    assert f"127.0.0.1:{port}/0" in dev.log
    assert (tmp_path / "stack" / "inngest.db").exists()


def test_a_database_that_the_code_fixes_cannot_be_replaced(start_dev: StartDev, tmp_path: Path) -> None:
    dev = start_dev("--embedded", OWN_DATABASE=f"sqlite:///{tmp_path / 'own.db'}")
    assert dev.process.wait(30) == 4
    assert "(embedded_database_fixed)" in dev.log
