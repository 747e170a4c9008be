"""The examples do what they say, with time travel and without a broker."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

import inngest_celery as inngest
from examples import existing_project, github, quickstart
from examples.existing_project import orders
from examples.github.webhooks import deliveries
from inngest_celery.store.rows import RunStatus
from inngest_celery.testing.inline import Inline


@pytest.mark.parametrize(
    ("activates", "output"), [(True, "ada@example.com is active"), (False, "ada@example.com is silent")]
)
def test_quickstart(activates: bool, output: str) -> None:
    inline = Inline(quickstart.app)
    [run] = inline.send(inngest.Event(name="user/signup", data={"email": "ada@example.com"}))
    inline.advance(timedelta(seconds=5))
    if activates:
        inline.send(inngest.Event(name="user/activated", data={"email": "ada@example.com"}))
    inline.advance(timedelta(days=3))
    assert inline.runs.get(run.id).output == output


def test_order_and_event_are_one_transaction(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    existing_project.app.loader.import_default_modules()
    inline = Inline(existing_project.app, database_url=url)
    engine = create_engine(url)
    orders.Base.metadata.create_all(engine)

    with Session(engine) as session:
        orders.place(session, "never wanted")
        session.rollback()
        orders.place(session, "a bell")
        session.commit()
    inline.drain()
    inline.advance(timedelta(days=3))
    [run] = inline.runs.list()
    assert (run.status, run.output) == (RunStatus.COMPLETED, "How do you like parcel-1?")


def test_cancelled_order_gets_no_mail() -> None:
    existing_project.app.loader.import_default_modules()
    inline = Inline(existing_project.app)
    [run] = inline.send(inngest.Event(name="shop/order.placed", data={"order": 7}))
    inline.send(inngest.Event(name="shop/order.cancelled", data={"order": 7}))
    inline.advance(timedelta(days=3))
    assert inline.runs.get(run.id).status is RunStatus.CANCELLED


def test_week_on_github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STATE", str(tmp_path))
    monkeypatch.setenv("GITHUB_LATENCY", "0")
    github.app.loader.import_default_modules()
    inline = Inline(github.app)
    webhooks = [delivery for delivery in deliveries(1) if delivery.event.name.startswith(_INTERESTING)]
    inline.send(*(delivery.event for delivery in webhooks if delivery.day == 0))
    inline.advance(timedelta(days=1))
    inline.send(*(delivery.event for delivery in webhooks if delivery.day == 1))
    inline.advance(timedelta(days=6))

    runs = inline.runs.list(limit=1000)
    assert all(run.ended for run in runs)
    assert Counter((run.function_id, run.status) for run in runs) == {
        ("github-audit", RunStatus.COMPLETED): len(webhooks),
        ("github-digest", RunStatus.COMPLETED): 7,
        ("github-follow-deployment", RunStatus.COMPLETED): 1,
        ("github-judge", RunStatus.COMPLETED): 3,
        ("github-release", RunStatus.COMPLETED): 1,
        ("github-release", RunStatus.FAILED): 1,
        ("github-release-failure", RunStatus.COMPLETED): 1,
        ("github-review-pull-request", RunStatus.CANCELLED): 1,
        ("github-review-pull-request", RunStatus.COMPLETED): 2,
        ("github-spread-the-word", RunStatus.COMPLETED): 1,
        ("github-thank-supporter", RunStatus.COMPLETED): 3,
        ("github-triage-issue", RunStatus.COMPLETED): 3,
        ("github-watch-ci", RunStatus.COMPLETED): 3,
    }
    reviews = {str(run.output) for run in runs if run.function_id == "github-review-pull-request"}
    assert {"reviewed", "stale"} < reviews


_INTERESTING = tuple(
    f"github/{name}"
    for name in (
        "check_",
        "deployment",
        "discussion.created",
        "fork",
        "issue",
        "pull_request.",
        "pull_request_review.",
        "release.",
        "sponsorship",
        "star",
        "workflow_run",
    )
)
