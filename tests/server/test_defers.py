"""Calls that a function puts off until its run has ended: made then, once each, however it ends; or never."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi import Response

from inngest_celery.drivers.http.reading import COMPLETE
from inngest_celery.store import schema
from inngest_celery.store.rows import RunStatus
from tests.server.scripted import Scripted, done, op, steps
from tests.server.stage import Stage

SCHEDULE = "inngest/deferred.schedule"
LATER = {"triggers": [{"event": SCHEDULE, "expression": "event.data._inngest.fn_slug == 'shop-fn'"}]}


def add(key: str, fn_slug: object = "shop-later", given: object = None, **opts: Any) -> dict[str, Any]:
    return op("DeferAdd", key, opts={"fn_slug": fn_slug, "input": {"of": key} if given is None else given, **opts})


def abort(key: str) -> dict[str, Any]:
    return op("DeferAbort", f"{key}:abort", opts={"target_hashed_id": key})


NAP = op("Sleep", "nap", opts={"duration": "1h"})


def told(stage: Stage) -> list[dict[str, Any]]:
    rows = sorted(stage.bench.events(SCHEDULE), key=lambda row: str(row.data))
    return [json.loads(row.data) for row in rows]


def by_its_end(call: dict[str, Any]) -> Response:
    """Put two calls off, one of them not after all; and end without a word about them."""
    if "one" not in call["steps"]:
        return steps(add("a"), add("b"), op("StepRun", "one", data=1))
    if "nap" not in call["steps"]:
        # As after a replay: all of it again, beside what is new.
        return steps(add("a"), add("b"), abort("b"), NAP)
    return done("end")


def test_what_is_put_off_is_done_at_the_end_and_once(stage: Stage) -> None:
    with Scripted(by_its_end).registered(stage):
        run = stage.start("shop/a")
        assert told(stage) == []
        assert stage.bench.output(run) == "end"
        parent = {"parent_fn_slug": "shop-fn", "parent_run_id": run.id}
        assert told(stage) == [{"of": "a", "_inngest": {"fn_slug": "shop-later", **parent}}]
        assert stage.bench.rows(schema.wait) == []
        # The same again is another run's.
        stage.bench.output(stage.start("shop/a"))
    assert len(told(stage)) == 2


def test_a_function_is_started_by_it(stage: Stage) -> None:
    app = Scripted(steps(add("a", "shop-fn"), op("RunComplete", "", data="first")), done("second"))
    triggers = [{"event": "shop/a"}, *LATER["triggers"]]
    with app.registered(stage, triggers=triggers):
        stage.start("shop/a")
        assert sorted(str(run.output) for run in stage.bench.inline.runs.list()) == ["first", "second"]
    assert app.calls[1]["event"]["data"]["of"] == "a"


@pytest.mark.databases("sqlite")
def test_a_cancelled_run_does_it_too(stage: Stage) -> None:
    with Scripted(steps(add("a"), NAP)).registered(stage):
        run = stage.start("shop/a")
        stage.bench.inline.runs.cancel(run.id)
    assert [each["of"] for each in told(stage)] == ["a"]


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(("code", "calls"), [("StepError", 2), ("StepFailed", 1)])
def test_so_does_one_that_fails_in_the_same_answer(stage: Stage, code: str, calls: int) -> None:
    """Its error then stands among the operations, under the id of the function's end."""
    app = Scripted(steps(add("a"), op(code, COMPLETE, error={"name": "Bad", "message": "no"})))
    with app.registered(stage, retries=1):
        run = stage.bench.finish(stage.start("shop/a"))
    assert (run.status, len(app.calls)) == (RunStatus.FAILED, calls)
    assert run.output["message"] == "no"  # type: ignore[index, call-overload]
    assert stage.bench.steps(run) == []
    assert [each["of"] for each in told(stage)] == ["a"]


@pytest.mark.databases("sqlite", "postgres")
def test_what_comes_too_late_counts_for_nothing(stage: Stage) -> None:
    """The call's job was taken over while it lasted."""

    def overtaken(call: dict[str, Any]) -> Response:
        table = schema.job
        with stage.bench.database.transaction() as connection:
            mine = sa.update(table).where(table.c.subject_id == call["ctx"]["run_id"])
            connection.execute(mine.values(fence=table.c.fence + 1, leased_until=None))
        return steps(add("lost"), op("RunComplete", "", data="late"))

    app = Scripted(overtaken, steps(add("a"), op("RunComplete", "", data="end")))
    with app.registered(stage):
        assert stage.output("shop/a") == "end"
    assert [each["of"] for each in told(stage)] == ["a"]


@pytest.mark.databases("sqlite")
def test_what_is_too_much_or_none_is_dropped_and_said(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    wrong = [add("x", ""), add("x", given=[1]), op("DeferAdd", "x"), op("DeferAbort", "y")]
    large = [add(key, given={"of": key, "x": "x" * 2_500_000}) for key in ("c1", "c2")]
    many = [add(f"d{number:02}") for number in range(25)]
    app = Scripted(steps(*wrong, *large, NAP), steps(*large, *many, op("RunComplete", "", data="end")))
    with app.registered(stage):
        assert stage.output("shop/a") == "end"
    assert [each["of"] for each in told(stage)] == ["c1", *(f"d{number:02}" for number in range(19))]
    dropped = [record for record in caplog.records if getattr(record, "action", "") == "defer_dropped"]
    assert len(dropped) == len(wrong) + 2 * 1 + 6
