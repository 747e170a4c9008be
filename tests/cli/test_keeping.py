"""retention and hold on the command line, and what doctor says of the rules."""

from __future__ import annotations

import json

import pytest
from celery import Celery

import inngest_celery as inngest
from inngest_celery.cli.checks import keeping
from inngest_celery.cli.checks.findings import Deployment, Workers
from inngest_celery.settings import settings_of
from inngest_celery.store import audit
from inngest_celery.store.database import Database
from inngest_celery.testing.inline import Inline
from inngest_celery.worker.runtime import runtime_of
from tests.cli.conftest import RunCli

pytestmark = pytest.mark.databases("sqlite")
DAY_MS = 86_400_000


def test_retention_is_seen_before_it_is_done(shop: Celery, cli: RunCli, inline: Inline, database: Database) -> None:
    assert "(retention_not_set)" in cli("retention", "preview", status=2).output
    shop.conf.inngest_retention = [
        {"function": "shop-refuse", "keep": "2 days"},
        {"event": "shop/nobody", "keep": "2d"},
    ]
    runtime_of(shop).__dict__.pop("settings", None)
    for name in ("shop/refused", "shop/refused", "shop/nobody"):
        inline.send(inngest.Event(name=name))
    inline.clock.advance(3 * DAY_MS)
    told = json.loads(cli("retention", "preview", "--json").stdout)
    [refused, nobody] = told["rules"]
    assert (refused["runs"], refused["events"], nobody["events"], told["holds"]) == (2, 2, 1, 0)
    assert refused["oldest"] is not None
    assert "shop-refuse" in cli("retention", "preview").output
    assert len(inline.runs.list()) == 2
    held = cli("hold", "add", "--reason", "case 1", "--run", inline.runs.list()[0].id).output.strip()
    assert "1 runs and 4 events deleted" in cli("retention", "run").output
    assert [run.id for run in inline.runs.list()] == [json.loads(cli("hold", "list", "--json").stdout)[0]["run"]]
    cli("hold", "release", held)
    assert "(hold_not_found)" in cli("hold", "release", held, status=3).output
    assert json.loads(cli("retention", "run", "--json").stdout)["rows"]["inngest_run"] == 1
    with database.autocommit() as connection:
        done = [row.action for row, _ in audit.page(connection, audit.AuditFilter(None, None, None), 10, None)]
    assert done == ["retention.run", "hold.release", "hold.release", "retention.run", "hold.add"]


def test_a_hold_names_what_there_is(cli: RunCli, inline: Inline) -> None:
    assert "--where" in cli("hold", "add", "--reason", "x", status=2).output
    assert "(run_not_found)" in cli("hold", "add", "--reason", "x", "--run", "R", status=3).output
    assert "(function_not_found)" in cli("hold", "add", "--reason", "x", "--function", "shp", status=3).output
    assert "(expression_" in cli("hold", "add", "--reason", "x", "--where", "event.", status=2).output
    assert "Nothing is held." in cli("hold", "list").output


def test_doctor_finds_rules_that_fit_nothing(shop: Celery, inline: Inline) -> None:
    shop.conf.inngest_retention = [{"function": "shop-*", "keep": "2d"}, {"function": "shp-*", "keep": "2d"}]
    runtime = runtime_of(shop)
    rows = dict.fromkeys(("shop-order",))
    deployment = Deployment(shop, runtime, settings_of(shop), True, True, Workers(), rows, {})  # type: ignore[arg-type]
    [finding] = keeping.rules(deployment)
    assert (finding.code, "'shp-*'" in finding.text) == ("retention_rule_fits_nothing", True)
    assert not list(keeping.erasures(deployment))
