"""The embedded stack against the real server: data, crashes, orphans, stale directories."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
import redis
import sqlalchemy as sa

from inngest_celery import embedded
from inngest_celery.embedded import Embedded, EmbeddedError
from tests.waiting import wait_until

OWNER = """
import sys, time
from pathlib import Path
from inngest_celery.embedded import Embedded
stack = Embedded(Path(sys.argv[1]))
stack.start()
if "fork" in sys.argv:
    import os
    if os.fork() == 0:
        time.sleep(60)
print(stack.broker_url, flush=True)
time.sleep(60)
"""


def client_of(stack: Embedded) -> redis.Redis:
    return redis.Redis.from_url(stack.broker_url, decode_responses=True)


def server_pid(url: str) -> int:
    with redis.Redis.from_url(url) as client:
        return int(client.info("server")["process_id"])


def test_gives_a_broker_and_a_database(tmp_path: Path) -> None:
    with Embedded(tmp_path / "stack") as stack:
        with client_of(stack) as client:
            assert client.eval("return redis.call('incr', KEYS[1])", 1, "n") == 1
        with sa.create_engine(stack.database_url).begin() as connection:
            connection.execute(sa.text("create table t (n integer)"))
        assert (tmp_path / "stack" / "inngest.db").exists()
        assert stack.running
        pid = server_pid(stack.broker_url)
    assert not stack.running
    assert not psutil.pid_exists(pid)


def test_messages_survive_a_crash_of_the_server(tmp_path: Path) -> None:
    with Embedded(tmp_path) as stack:
        with client_of(stack) as client:
            client.rpush("celery", *range(50))
        os.kill(server_pid(stack.broker_url), signal.SIGKILL)
        wait_until(lambda: not stack.running, message="the crash to be noticed")
        before = stack.broker_url
        stack.start()
        assert stack.broker_url == before
        with client_of(stack) as client:
            assert client.llen("celery") == 50


def test_messages_survive_a_stop_and_a_start_elsewhere(tmp_path: Path) -> None:
    with Embedded(tmp_path) as stack, client_of(stack) as client:
        client.set("kept", "yes")
    with Embedded(tmp_path) as stack, client_of(stack) as client:
        assert client.get("kept") == "yes"


def test_keeps_nothing_when_told_so(tmp_path: Path) -> None:
    with Embedded(tmp_path, persist=False) as stack, client_of(stack) as client:
        client.set("kept", "no")
    with Embedded(tmp_path, persist=False) as stack, client_of(stack) as client:
        assert client.dbsize() == 0


@pytest.mark.parametrize("mode", ["plain", "fork"])
def test_no_orphan_when_the_owner_is_killed(tmp_path: Path, mode: str) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path), mode], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert owner.stdout is not None
    pid = server_pid(owner.stdout.readline().strip())
    try:
        owner.kill()
        owner.wait()
        wait_until(lambda: not psutil.pid_exists(pid), message="the server to follow its owner")
        with Embedded(tmp_path) as stack:
            assert stack.running
    finally:
        # The forked child of the second mode lives on in the owner's group.
        if mode == "fork":
            os.killpg(owner.pid, signal.SIGKILL)
        owner.stdout.close()


def test_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    stack = Embedded(tmp_path)
    thread = threading.Thread(target=stack.start)
    thread.start()
    thread.join()
    with client_of(stack) as client:
        assert client.ping()
    stack.stop()


def test_refuses_a_directory_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_LOCK_TIMEOUT", 0.05)
    with Embedded(tmp_path), pytest.raises(EmbeddedError, match="choose another directory") as caught:
        Embedded(tmp_path).start()
    assert caught.value.code == "embedded_in_use"


def test_takes_another_port_when_its_former_one_is_taken(tmp_path: Path) -> None:
    with Embedded(tmp_path) as stack:
        port = int((tmp_path / "valkey.port").read_text())
    with socket.create_server(("127.0.0.1", port)), Embedded(tmp_path) as stack, client_of(stack) as client:
        assert client.ping()
        assert f":{port}/" not in stack.broker_url


@pytest.mark.parametrize("rubbish", ["", "rubbish", "99999999", "0"])
def test_copes_with_a_damaged_port_file(tmp_path: Path, rubbish: str) -> None:
    (tmp_path / "valkey.port").write_text(rubbish)
    with Embedded(tmp_path) as stack:
        assert stack.running


def test_survives_an_append_only_file_cut_short(tmp_path: Path) -> None:
    with Embedded(tmp_path) as stack, client_of(stack) as client:
        client.mset({"a": "1"})
        client.mset({"b": "2"})
    (log,) = (tmp_path / "valkey" / "appendonlydir").glob("*.incr.aof")
    log.write_bytes(log.read_bytes()[:-5])
    with Embedded(tmp_path) as stack, client_of(stack) as client:
        assert client.get("a") == "1"


def test_says_what_is_damaged(tmp_path: Path) -> None:
    with Embedded(tmp_path) as stack, client_of(stack) as client:
        client.set("a", "1")
    (log,) = (tmp_path / "valkey" / "appendonlydir").glob("*.incr.aof")
    log.write_bytes(b"this is no command\n" + log.read_bytes())
    with pytest.raises(EmbeddedError, match="remove that folder") as caught:
        Embedded(tmp_path).start()
    assert caught.value.code == "embedded_failed"
    assert "Bad file format" in str(caught.value)


def test_leaves_a_folder_that_exists_as_it_is(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*.pyc\n")
    with Embedded(tmp_path):
        assert (tmp_path / ".gitignore").read_text() == "*.pyc\n"
