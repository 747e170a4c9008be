"""The report of a run over HTTP: whoever may look gets it, each with what they may see of payloads and of people."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

import inngest_celery as inngest
from inngest_celery.server.access import event_keys
from inngest_celery.worker import run_report
from inngest_celery.worker.runtime import runtime_of
from tests.functions.bench import Bench
from tests.server.access.conftest import KEY, NO_ID, Guarded

pytestmark = pytest.mark.databases("sqlite")

EMAIL = "ada.l@example.org"
RULE = {"pattern": "email", "reveal": "operator"}


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    bench = Bench(database_url, inngest_signing_key=KEY, inngest_masking=[RULE])

    @bench.function(trigger=inngest.TriggerEvent(event="shop/a"))
    def fn(ctx: inngest.ContextSync) -> Any:
        return [ctx.step.wait_for_event(name, event=f"shop/{name}", timeout=timedelta(days=1)) for name in SENT]

    yield bench
    bench.close()


SENT = ("by-key", "by-token", "by-user", "by-rest", "by-code")


def answered(guarded: Guarded) -> str:
    """Let a run be approved by everybody who may send an event; give its id."""
    run = guarded.bench.run("shop/a", mail=EMAIL)
    key = event_keys.create(runtime_of(guarded.bench.app), "ci", created_by="ada").secret
    browser = guarded.browser("operator")
    for client, path, given in (
        (guarded.http, f"/e/{key}", {"json": {"name": "shop/by-key", "id": "its own id"}}),
        (guarded.program("events:send"), "/e/any", {"json": {"name": "shop/by-token"}}),
        (browser, "/events", {"data": {"event": '{"name": "shop/by-user"}'}}),
        (guarded.program("operate"), "/v2/events", {"json": {"name": "shop/by-rest"}}),
    ):
        answer = client.post(path, **given)  # type: ignore[arg-type]
        assert answer.status_code in (200, 201, 303), answer.text
        guarded.drain()
    guarded.bench.send("shop/by-code")
    return run.id


def report(client: httpx.Client, run_id: str) -> dict[str, Any]:
    answer = client.get(f"/v2/runs/{run_id}/report")
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()["data"]
    # Whoever gets it can tell whether it is what was made.
    assert run_report.digest(made) == made["digest"]
    return made


def test_each_role_gets_what_it_may_see(guarded: Guarded) -> None:
    run_id = answered(guarded)
    guarded.program("operate").post(f"/v2/runs/{run_id}/rerun").raise_for_status()
    viewers, admins = report(guarded.program("read"), run_id), report(guarded.program("admin"), run_id)
    assert viewers["run"]["event"]["data"] == {"mail": "[masked]"}
    assert (viewers["audit"], viewers["left_out"]) == (None, ["audit", "approvals.answered_by"])
    assert {each["answered_by"] for each in viewers["approvals"]} == {None}
    assert admins["run"]["event"]["data"] == {"mail": EMAIL}
    assert [each["action"] for each in admins["audit"]] == ["run.rerun"]
    told = {each["step"]: each["answered_by"] for each in admins["approvals"]}
    assert {name: by and (by["kind"], by["name"]) for name, by in told.items()} == {
        "by-key": ("event_key", "ci"),
        "by-token": ("token", "test"),
        "by-user": ("session", "operator"),
        "by-rest": ("token", "test"),
        "by-code": None,
    }
    by_key = admins["approvals"][0]
    assert by_key["answer"]["id"] == "its own id"
    assert len(by_key["event_id"]) == 26
    assert report(guarded.program("operate"), run_id)["run"]["event"]["data"] == {"mail": EMAIL}


def test_it_is_text_a_page_and_files_too(guarded: Guarded) -> None:
    run_id = answered(guarded)
    text = guarded.program("admin").get(f"/v2/runs/{run_id}/report.md")
    assert text.headers["content-type"].startswith("text/markdown")
    assert f"# Run {run_id}" in text.text
    assert "ci (event_key)" in text.text
    viewer, admin = guarded.browser("viewer"), guarded.browser("admin")
    assert f"/runs/{run_id}/report" in viewer.get(f"/runs/{run_id}").text
    shown = viewer.get(f"/runs/{run_id}/report").text
    assert "Only admins are told." in shown
    assert EMAIL not in shown
    assert "ci (event_key)" in admin.get(f"/runs/{run_id}/report").text
    kept = admin.get(f"/runs/{run_id}/report.json")
    assert kept.headers["content-disposition"] == f'attachment; filename="run-{run_id}.json"'
    assert run_report.digest(kept.json()) == kept.json()["digest"]
    assert "only admins are told" in viewer.get(f"/runs/{run_id}/report.md").text


def test_it_is_for_whoever_may_look_at_runs_that_there_are(guarded: Guarded) -> None:
    sender, reader = guarded.program("events:send"), guarded.program("read")
    for path in (f"/v2/runs/{NO_ID}/report", f"/v2/runs/{NO_ID}/report.md", f"/runs/{NO_ID}/report.json"):
        assert [client.get(path).status_code for client in (guarded.http, sender, reader)] == [401, 403, 404]
