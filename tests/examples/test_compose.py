"""The compose file of the examples: Compose takes it, and what it starts works, here without Docker."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from inngest_celery.drivers.http.signing import bearer_of
from tests.examples.compose_stack import FILE, FOLDER, ComposeStack
from tests.redis_nodes import free_ports
from tests.waiting import wait_until

ROOT = FOLDER.parents[1]
VARIABLES = {"INNGEST_SIGNING_KEY": "0a1b" * 16, "INNGEST_EVENT_KEY": "an-event-key", "POSTGRES_PASSWORD": "secret"}


def compose() -> list[str] | None:
    """Give the command, if there is one: Docker's plugin or the program of old."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) and not subprocess.run([*command, "version"], capture_output=True).returncode:
            return command
    return None


@pytest.mark.parametrize("file", [FILE, ROOT / "docker-compose.yml"], ids=["example", "test servers"])
def test_compose_takes_the_file(file: Path) -> None:
    command = compose()
    if command is None:
        pytest.skip("neither `docker compose` nor docker-compose is installed")
    done = subprocess.run(
        [*command, "--file", str(file), "config", "--quiet"],
        env={**os.environ, **VARIABLES},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_image_is_made_of_what_there_is() -> None:
    copied = [line.split()[1:-1] for line in (FOLDER / "Dockerfile").read_text().splitlines() if line[:5] == "COPY "]
    assert copied
    assert [path for paths in copied for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.databases("postgres")
@pytest.mark.brokers("redis")
def test_the_same_stack_without_docker(empty_database_url: str, broker_url: str, tmp_path: Path) -> None:
    serving, flower = free_ports(2)
    places = {
        "postgresql+psycopg://shop:secret@postgres:5432/shop": empty_database_url,
        "redis://redis:6379/0": broker_url,
        "http://localhost:8288": f"http://127.0.0.1:{serving}",
    }
    # There each has an address of its own.
    more = {"INNGEST_PORT": str(serving), "FLOWER_PORT": str(flower), "FLOWER_ADDRESS": "127.0.0.1"}
    with closing(ComposeStack(tmp_path, VARIABLES, places, more)) as stack:
        _check_places(stack)
        assert stack.start("migrate").wait(60) == 0, stack.describe()
        for name in ("server", "worker", "flower"):
            stack.start(name)
        with httpx.Client(base_url=f"http://127.0.0.1:{serving}", timeout=5) as server:
            wait_until(lambda: _answers(server, "/health"), 60.0, stack.describe, every=0.1)
            wait_until(lambda: " ready." in stack.log("worker").read_text(), 60.0, stack.describe, every=0.1)
            sent = server.post("/e/an-event-key", json={"name": "shop/order.placed", "data": {"order": 7}})
            [event] = sent.raise_for_status().json()["ids"]
            key = {"Authorization": f"Bearer {bearer_of(VARIABLES['INNGEST_SIGNING_KEY'])}"}

            def ended() -> list[dict[str, object]]:
                runs = server.get(f"/v1/events/{event}/runs", headers=key).raise_for_status().json()["data"]
                return [run for run in runs if run["status"] == "Completed"]

            [run] = wait_until(ended, 60.0, stack.describe, every=0.1)
            assert run["output"] == {"order": 7, "paid": True}
            assert server.get("/v1/events", headers={"Authorization": "Bearer wrong"}).is_error
        with httpx.Client(base_url=f"http://127.0.0.1:{flower}", timeout=5) as shown:
            wait_until(lambda: _answers(shown, "/"), 60.0, stack.describe, every=0.1)


def _check_places(stack: ComposeStack) -> None:
    """Assert that no address of the file is left, where one was to be replaced by one of here."""
    for name in ("migrate", "worker", "server", "flower"):
        values = " ".join(stack.environment(name).values())
        assert not any(there in values for there in ("@postgres", "//redis", "${")), values


def _answers(client: httpx.Client, path: str) -> bool:
    try:
        return client.get(path).is_success
    except httpx.TransportError:
        return False
