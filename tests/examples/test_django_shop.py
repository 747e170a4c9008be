"""The Django shop with real workers: orders and events are one commit, its pages and commands work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.conftest import StartWorker
from tests.nursery import ROOT

CRASHES = ("transaction_before_commit", "transaction_after_commit")
SHOP = ROOT / "examples" / "django_shop"


@pytest.fixture
def environment(database_url: str, broker_url: str) -> Iterator[dict[str, str]]:
    """Where the shop finds its code, database and broker; its own tables are dropped in the end."""
    url = sa.make_url(database_url)
    plain = url.set(drivername=url.get_backend_name()).render_as_string(hide_password=False)
    place = {"SHOP_SQLITE": url.database or ""} if plain.startswith("sqlite") else {"SHOP_DATABASE": plain}
    place["INNGEST_MASKING"] = json.dumps([{"path": "output.left"}, {"path": "event.data.order"}])
    yield {**place, "SHOP_BROKER": broker_url, "SHOP_LEASE": "2", "PYTHONPATH": os.pathsep.join([str(SHOP), str(ROOT)])}
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    metadata = sa.MetaData()
    metadata.reflect(engine)
    metadata.drop_all(engine, [table for table in metadata.sorted_tables if not table.name.startswith("inngest_")])


@pytest.mark.pairs
def test_the_shop(environment: dict[str, str], start_worker: StartWorker, tmp_path: Path) -> None:
    visitor = subprocess.Popen(
        [sys.executable, "-m", "tests.examples.shop_visitor"],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    with visitor:
        assert visitor.stdout is not None
        assert visitor.stdout.readline() == "open\n"
        # Once each, a worker is killed right before and right after Django's commit of a step.
        crashes = tmp_path / "crashes"
        crashes.mkdir()
        for place in CRASHES:
            (crashes / place).touch()
        start_worker("shop", env={**environment, "INNGEST_TEST_CRASH": str(crashes)}, pool="prefork")
        seen = json.loads(visitor.stdout.read())
    assert list(crashes.iterdir()) == []
    page, event_page, pages = seen.pop("run page"), seen.pop("event page"), seen.pop("pages")
    assert seen == {
        # The fixture's tables are there before; Django's own come with its migration.
        "warned": [],
        "migrated": True,
        "listed": [True],
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
    assert "left&quot;: &quot;[masked]&quot;" in page
    assert "left&quot;: 7" not in page
    assert "order&quot;: &quot;[masked]&quot;" in event_page
