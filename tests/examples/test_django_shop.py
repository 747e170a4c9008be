"""The Django shop with real workers: orders and events are one commit, its pages and commands work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from tests.conftest import StartWorker
from tests.nursery import ROOT

SHOP = ROOT / "examples" / "django_shop"
Run = Callable[..., str]


@pytest.fixture
def environment(database_url: str, broker_url: str) -> Iterator[dict[str, str]]:
    """Where the shop finds its code, database and broker; its own tables are dropped in the end."""
    url = sa.make_url(database_url)
    plain = url.set(drivername=url.get_backend_name()).render_as_string(hide_password=False)
    place = {"SHOP_SQLITE": url.database or ""} if plain.startswith("sqlite") else {"SHOP_DATABASE": plain}
    yield {**place, "SHOP_BROKER": broker_url, "PYTHONPATH": os.pathsep.join([str(SHOP), str(ROOT)])}
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    metadata = sa.MetaData()
    metadata.reflect(engine)
    metadata.drop_all(engine, [table for table in metadata.sorted_tables if not table.name.startswith("inngest_")])


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    """Runs Python in the shop and gives what it prints."""

    def python(*arguments: str, status: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    return python


MANAGE = str(SHOP / "manage.py")


@pytest.mark.pairs
def test_the_shop(run: Run, environment: dict[str, str], start_worker: StartWorker) -> None:
    run(MANAGE, "migrate", "--verbosity=0")
    run(
        MANAGE,
        "shell",
        "--verbosity=0",
        "-c",
        "from orders.models import Item; Item.objects.create(name='tea', stock=10)",
    )
    start_worker("shop", env={**environment, "CELERY_INNGEST_SLICE": "0.25"}, pool="prefork")
    seen = json.loads(run("-m", "tests.examples.shop_visitor").splitlines()[-1])
    page, pages = seen.pop("run page"), seen.pop("pages")
    assert seen == {
        "placed": 201,
        "failed": 500,
        "orders": 1,
        "placed events": 1,
        "stock": 7,
        "output": {"order": seen["output"]["order"], "left": 7},
        "steps": ["take-from-stock", "wait for the van", "ship"],
    }
    assert {path: status for path, status in pages.items() if status != 200} == {
        "/admin/inngest/run/add/": 403,
        "/admin/inngest/run/RUN/delete/": 403,
    }
    assert "take-from-stock" in page
    assert "_save" not in page


@pytest.mark.pairs
@pytest.mark.databases("sqlite")
def test_commands(run: Run) -> None:
    assert "--help" in run(MANAGE, "inngest", "--help")
    assert "is up to date" in run(MANAGE, "inngest", "migrate")
    assert "no issues" in run(MANAGE, "check", "--database", "default")
    assert "shop/order.placed" not in run(MANAGE, "inngest", "runs", "list")
