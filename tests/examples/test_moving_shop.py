"""A Django shop on its way from a chain to a durable function: every deploy, and what is between two of them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from examples.serving import Answer, serving
from tests.conftest import StartWorker
from tests.nursery import ROOT
from tests.redis_nodes import free_ports
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess

LONG = 60.0
STEPS = ("before", "step_1", "step_2")
STOCK = 10

pytestmark = [pytest.mark.databases("postgres"), pytest.mark.brokers("redis")]


class Bank:
    """Takes each order's money once, at the second time that it is asked, and not while it is closed."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.asked: Counter[str] = Counter()
        self.paid: Counter[str] = Counter()

    def answer(self, _method: str, path: str, _body: bytes) -> Answer:
        self.asked[path] += 1
        if self.asked[path] == 1 or not self.open.is_set():
            return 503, {}, {}
        self.paid[path] += 1
        return 200, {}, {"receipt": f"receipt of {path}"}


class Shop:
    """The shop's processes, at whatever deploy, and its customers."""

    def __init__(self, environment: dict[str, str], start_worker: StartWorker, bank: Bank) -> None:
        self.bank = bank
        self._environment = environment
        self._start_worker = start_worker
        self._web: subprocess.Popen[str] | None = None
        self._http = httpx.Client(timeout=30)

    def deploy(self, step: str) -> WorkerProcess:
        """Migrate, exchange the web process and start a worker; give that. Its predecessor is the caller's business."""
        environment = {**self._environment, "SHOP_DEPLOY": step}
        self._manage(environment, "migrate", "--verbosity=0")
        self.close()
        self._http.base_url = httpx.URL(f"http://127.0.0.1:{free_ports(1)[0]}")
        self._web = self._django(environment, "runserver", "--noreload", str(self._http.base_url.port))
        worker: WorkerProcess = self._start_worker(
            "examples.moving.shop.celery", pool="threads", concurrency=4, env=environment
        )
        wait_until(self._answers, LONG, "the shop to open")
        return worker

    def place(self, pieces: int) -> int:
        answer = self._http.post("/orders/", data={"item": "tea", "pieces": str(pieces)})
        assert answer.status_code == 201, answer.text
        return int(answer.json()["order"])

    def review(self, order: int) -> None:
        assert self._http.post(f"/orders/{order}/review/").status_code == 201

    def look(self, order: int) -> dict[str, Any]:
        told: dict[str, Any] = self._http.get(f"/orders/{order}/").json()
        return told

    def wait_for(self, order: int, **expected: object) -> None:
        wait_until(lambda: expected.items() <= self.look(order).items(), LONG, lambda: str(self.look(order)))

    def close(self) -> None:
        """End the web process."""
        if self._web is not None:
            self._web.kill()
            self._web.communicate()
            self._web = None

    def _answers(self) -> bool:
        try:
            return self._http.get("/").status_code == 404
        except httpx.TransportError:
            return False

    def _manage(self, environment: dict[str, str], *arguments: str) -> None:
        process = self._django(environment, *arguments)
        said, _ = process.communicate(timeout=LONG)
        assert process.returncode == 0, said

    def _django(self, environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "django", *arguments],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


@pytest.fixture
def shop(empty_database_url: str, broker_url: str, start_worker: StartWorker) -> Iterator[Shop]:
    url = sa.make_url(empty_database_url)
    bank = Bank()
    with serving(bank.answer) as address:
        environment = {
            "DJANGO_SETTINGS_MODULE": "examples.moving.shop.settings",
            "SHOP_DATABASE": url.set(drivername="postgresql").render_as_string(hide_password=False),
            "SHOP_BROKER": broker_url,
            "BANK_URL": address,
            "INNGEST_SWEEP_INTERVAL": "0.2",
            "INNGEST_RETRY_INTERVAL": "0.2",
        }
        shop = Shop(environment, start_worker, bank)
        yield shop
        shop.close()


def fill(database_url: str) -> None:
    """Put tea on the shelf."""
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO orders_item (name, stock) VALUES ('tea', :stock)"), {"stock": STOCK})


@pytest.mark.parametrize("step", STEPS)
def test_the_shop_does_what_it_did(step: str, shop: Shop, empty_database_url: str) -> None:
    shop.deploy(step)
    shop.bank.open.set()
    fill(empty_database_url)
    plain = shop.place(3)
    reviewed = shop.place(2)
    shop.review(reviewed)
    shop.wait_for(plain, status="shipped", asked=True, stock=STOCK - 5)
    too_much = shop.place(STOCK)
    shop.wait_for(too_much, status="refused", stock=STOCK - 5)
    shop.wait_for(reviewed, status="shipped", asked=False)
    assert shop.bank.paid == {f"/charges/{order}": 1 for order in (plain, reviewed)}


@pytest.mark.parametrize(("step", "following"), [("before", "step_1"), ("step_1", "step_2")])
def test_what_is_on_its_way_arrives(step: str, following: str, shop: Shop, empty_database_url: str) -> None:
    worker = shop.deploy(step)
    fill(empty_database_url)
    begun = shop.place(1)
    wait_until(lambda: shop.bank.asked[f"/charges/{begun}"] > 1, LONG, "the bank to be asked twice")
    worker.stop()
    waiting = shop.place(2)
    # While nobody asks: a function gives up after some attempts.
    shop.bank.open.set()
    shop.deploy(following)
    for order in (begun, waiting):
        shop.wait_for(order, status="shipped", asked=True, stock=STOCK - 3)
    assert shop.bank.paid == {f"/charges/{order}": 1 for order in (begun, waiting)}
