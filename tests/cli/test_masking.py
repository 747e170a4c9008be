"""The command line shows what somebody sees who may only look; ``export --unmasked`` writes all, and that is noted."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from celery import Celery
from click.testing import CliRunner

import inngest_celery as inngest
from inngest_celery.cli import main
from inngest_celery.testing.inline import Inline
from tests.cli.conftest import MODULE, RunCli

pytestmark = pytest.mark.databases("sqlite")
EMAIL, CODE = "ada.l@example.org", "planted-code"


@pytest.fixture(autouse=True)
def rules(shop: Celery) -> None:
    shop.conf.inngest_masking = [
        {"pattern": "email", "reveal": "admin"},
        {"path": "data.code", "reveal": "operator"},
        {"path": "error.message"},
        {"path": "output"},
    ]


def test_commands(cli: RunCli, inline: Inline) -> None:
    [order] = inline.send(inngest.Event(name="shop/ordered", data={"id": EMAIL, "code": CODE}))
    [refused] = inline.send(inngest.Event(name="shop/refused", data={"id": EMAIL}))
    inline.advance(timedelta(days=1))
    commands = [
        ("events", "list"), ("events", "list", "--json"), ("events", "show", order.event_id),
        ("events", "show", order.event_id, "--json"), ("runs", "list", "--json"), ("export", "runs"),
        ("export", "events", "--internal"), ("export", "steps"),
    ]  # fmt: skip
    for run in (order, refused):
        commands += [("runs", "show", run.id), ("runs", "show", run.id, "--json"), ("why", run.id)]
        commands += [("why", run.id, "--json"), ("runs", "report", run.id), ("runs", "report", run.id, "--json")]
    commands += [("runs", "wait", refused.id), ("runs", "wait", refused.id, "--json"), ("runs", "watch", refused.id)]
    for command in commands:
        told = CliRunner().invoke(main, ["-A", MODULE, *command]).output
        assert told
        for secret in (EMAIL, CODE, "no [brackets] here", "the bank is closed", "receipt 7"):
            assert secret not in told, (command, secret)
    assert json.loads(cli("runs", "list", "--json", "--where", f'event.data.code == "{CODE}"').stdout) == []
    whole = cli("export", "events", "--unmasked").stdout
    assert EMAIL in whole
    assert CODE in whole
    assert "receipt 7" in cli("export", "steps", "--unmasked").stdout
    assert CODE in cli("runs", "report", order.id, "--unmasked").stdout
    noted = json.loads(cli("audit", "list", "--json").stdout)
    assert [(each["action"], each["subject"]) for each in noted] == [
        ("export.unmasked", order.id),
        ("export.unmasked", "steps"),
        ("export.unmasked", "events"),
    ]
