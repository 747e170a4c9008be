"""Finding runs and events, looking at them, taking them along: the same choices everywhere."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import inngest as official
import pytest
import sqlalchemy as sa
from celery import Celery
from fastapi import FastAPI
from inngest import fast_api

import inngest_celery as inngest
from inngest_celery.engine import searching
from inngest_celery.store import schema
from inngest_celery.store.database import Database
from inngest_celery.testing.inline import Inline
from inngest_celery.worker import selecting
from tests.cli.conftest import RunCli
from tests.server.web import served

sqlite = pytest.mark.databases("sqlite")


@pytest.fixture
def sent(inline: Inline, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Five events, a minute apart; the last one of another name. Slices are of two."""
    monkeypatch.setattr(selecting, "SLICE", 2)
    found = []
    for number in range(5):
        name = "shop/ordered" if number < 4 else "shop/refused"
        found.append(inline.send(inngest.Event(name=name, data={"id": number}))[0].event_id)
        inline.clock.advance(60_000)
    return found


def events_of(runs: str) -> list[str]:
    return [run["event_id"] for run in json.loads(runs)]


def test_runs_are_chosen(cli: RunCli, inline: Inline, sent: list[str]) -> None:
    def listed(*options: str) -> list[str]:
        return events_of(cli("runs", "list", "--json", *options).stdout)

    assert listed("--event", "shop/refused") == sent[4:]
    assert listed("--app", "shop", "--status", "running", "--status", "failed") == sent[::-1]
    assert listed("--app", "shop", "--function", "shop-refuse") == sent[4:]
    assert listed("--since", "150s") == [sent[4], sent[3]]
    assert listed("--until", "150s", "--limit", "2") == [sent[2], sent[1]]
    assert listed("--since", "1970-01-02", "--until", "2000-01-01T00:00:00Z") == []
    assert listed("--where", 'event.data.id % 2 == 0 || error.name == "ValueError"') == [sent[4], sent[2], sent[0]]
    assert listed("--where", "event.data.id < 3", "--limit", "2", "--status", "running") == [sent[2], sent[1]]


@sqlite
def test_a_search_says_where_it_ended(
    cli: RunCli, inline: Inline, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "LOOKED_AT", 4)
    for command in ("runs", "events"):
        wanted: list[Any] = []
        options = ["--json", "--where", "event.data.id < 2"]
        pages = 0
        while True:
            page = cli(command, "list", *options)
            wanted += json.loads(page.stdout)
            pages += 1
            said = page.stderr.strip()
            if not said:
                break
            options = [*options[:3], "--before", said.rpartition(" ")[2]]
        assert pages == 2
        assert [each.get("event_id", each["id"]) for each in wanted] == [sent[1], sent[0]]


def test_events_are_listed_and_shown(cli: RunCli, inline: Inline, sent: list[str]) -> None:
    def listed(*options: str) -> list[str]:
        return [event["id"] for event in json.loads(cli("events", "list", "--json", *options).stdout)]

    assert listed() == sent[::-1]
    assert listed("--name", "shop/refused") == sent[4:]
    assert listed("--where", "event.data.id == 1") == [sent[1]]
    assert listed("--before", sent[2], "--limit", "1") == [sent[1]]
    assert len(listed("--internal")) > 5
    assert "shop/refused" in cli("events", "list").output
    assert "(event_id_invalid)" in cli("events", "list", "--before", "nothing", status=2).output
    shown = json.loads(cli("events", "show", sent[4], "--json").stdout)
    assert (shown["data"], [run["function_id"] for run in shown["runs"]]) == ({"id": 4}, ["shop-refuse"])
    assert "shop-refuse" in cli("events", "show", sent[4]).output
    assert "(event_not_found)" in cli("events", "show", "nothing", status=3).output


@sqlite
def test_events_are_sent_again(cli: RunCli, inline: Inline, sent: list[str]) -> None:
    again = cli("events", "replay", sent[0], sent[4]).output.split()
    inline.drain()
    shown = [json.loads(cli("events", "show", each, "--json").stdout) for each in again]
    assert [(event["name"], event["data"]["id"], len(event["runs"])) for event in shown] == [
        ("shop/ordered", 0, 1),
        ("shop/refused", 4, 1),
    ]
    assert "(event_not_found)" in cli("events", "replay", sent[0], "nothing", status=3).output
    [made_here] = json.loads(cli("events", "list", "--json", "--name", "inngest/function.failed").stdout)[:1]
    assert "(event_internal)" in cli("events", "replay", sent[0], made_here["id"], status=2).output
    assert len(json.loads(cli("events", "list", "--json").stdout)) == 7


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_everything_can_be_taken_along(cli: RunCli, inline: Inline, sent: list[str], tmp_path: Path) -> None:
    inline.advance(timedelta(hours=2))
    assert [run["event_id"] for run in lines(cli("export", "runs").stdout)] == sent[::-1]
    where = ("--where", "event.data.id == 3")
    [run] = lines(cli("export", "runs", *where).stdout)
    steps = lines(cli("export", "steps", *where).stdout)
    assert [(step["run_id"], step["id"], step["result"]) for step in steps] == [
        (run["id"], "charge", {"data": "receipt 7"}),
        (run["id"], "cool down", None),
    ]
    out = tmp_path / "events.jsonl"
    assert cli("export", "events", "--name", "shop/ordered", "-o", str(out)).stdout == ""
    assert [event["id"] for event in lines(out.read_text())] == sent[3::-1]
    # What cannot be exported leaves the file that was there.
    cli("export", "events", "--where", "event.", "-o", str(out), status=2)
    assert len(lines(out.read_text())) == 4


@sqlite
def test_functions_and_apps(cli: RunCli, inline: Inline, sent: list[str]) -> None:
    output = cli("functions", "show", "shop-refuse").output
    assert "shop/refused" in output
    assert "failed" in output
    assert len(json.loads(cli("functions", "show", "shop-order", "--json").stdout)["newest_runs"]) == 4
    assert "(function_not_found)" in cli("functions", "show", "nothing", status=3).output
    [app] = json.loads(cli("apps", "list", "--json").stdout)
    assert (app["id"], app["method"], app["functions"]) == ("shop", "python", 2)
    assert "shop" in cli("apps", "list").output
    assert "(app_not_found)" in cli("apps", "remove", "shop", status=3).output
    assert "(unreachable)" in cli("apps", "sync", "http://127.0.0.1:1/api/inngest", status=2).output


SIGNING_KEY = "signkey-prod-" + "0123456789abcdef" * 4


@sqlite
def test_an_app_on_an_official_sdk_comes_and_goes(cli: RunCli, shop: Celery, inline: Inline) -> None:
    # An app of a test is in this machine's own network.
    shop.conf.update(inngest_signing_key=SIGNING_KEY, inngest_allow_private_addresses=True)
    del shop.__dict__["inngest_runtime"]
    client = official.Inngest(app_id="mail", signing_key=SIGNING_KEY, is_production=True)
    trigger = official.TriggerEvent(event="mail/due")
    app = FastAPI()

    @client.create_function(fn_id="deliver", trigger=trigger)
    async def deliver(ctx: official.Context) -> None: ...

    fast_api.serve(app, client, [deliver])
    with served(app) as origin:
        assert "mail is registered." in cli("apps", "sync", f"{origin}/api/inngest").output
    mail, _ = json.loads(cli("apps", "list", "--json").stdout)
    assert (mail["id"], mail["functions"], mail["sdk"][:3]) == ("mail", 1, "py:")
    assert "mail is removed." in cli("apps", "remove", "mail").output
    assert [each["id"] for each in json.loads(cli("apps", "list", "--json").stdout)] == ["shop"]


@sqlite
def test_what_is_no_text_is_exported(cli: RunCli, inline: Inline, database: Database, sent: list[str]) -> None:
    # As an app on another SDK may return it, half of a pair, escaped.
    with database.transaction() as connection:
        connection.execute(sa.update(schema.run).values(output='{"half": "\\ud800", "whole": "é"}'))
    for printed in (cli("export", "runs").stdout.splitlines()[0], cli("runs", "list", "--json").stdout):
        [run, *_] = found if isinstance(found := json.loads(printed), list) else [found]
        assert run["output"] == {"half": "\ud800", "whole": "é"}
