"""What can be done on pages, done in a real browser."""

from __future__ import annotations

import inngest as official
import pytest
from playwright.sync_api import Browser, Page, expect

from inngest_celery.store import schema
from inngest_celery.store.rows import RunStatus
from tests.server.stage import Stage
from tests.server.web import served

pytestmark = pytest.mark.databases("sqlite")


def test_a_run_is_cancelled_repeated_and_deleted(page: Page, stage: Stage) -> None:
    run = stage.start("shop/ordered", n=1)
    page.goto(f"/runs/{run.id}")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("status")).to_have_text("The run is cancelled.")
    assert stage.bench.get(run).status is RunStatus.CANCELLED

    page.get_by_role("button", name="Run again").first.click()
    expect(page.get_by_role("status")).to_have_text(f"This run repeats {run.id}.")
    again = page.url.rsplit("/", 1)[-1]
    expect(page.locator(".facts")).to_contain_text(run.id)
    stage.drain()
    assert stage.bench.inline.runs.get(again).status is RunStatus.RUNNING

    page.goto(f"/runs/{run.id}")
    expect(page.get_by_role("status")).to_have_count(0)
    page.get_by_role("button", name="Delete").click()
    expect(page).to_have_url(f"{stage.url}/runs")
    expect(page.locator("tbody")).not_to_contain_text(run.id)
    for table in (schema.run.c.id, schema.step.c.run_id, schema.attempt.c.run_id, schema.job.c.subject_id):
        assert stage.bench.rows(table.table, **{table.name: run.id}) == []  # type: ignore[arg-type]
    assert stage.bench.events("shop/ordered"), "its event stays"


def test_a_run_is_repeated_from_a_step(page: Page, stage: Stage) -> None:
    run = stage.start("shop/ordered", n=1)
    stage.bench.finish(run)
    page.goto(f"/runs/{run.id}")
    page.get_by_role("link", name="cool down").click()
    page.get_by_text("Run again from this step").click()
    page.get_by_role("button", name="Run again from here").click()
    expect(page.get_by_role("status")).to_contain_text("repeats")
    again = page.url.rsplit("/", 1)[-1]
    stage.drain()
    names = [step.name for step in stage.bench.steps(stage.bench.inline.runs.get(again))]
    assert names == ["charge"], "what came before is taken over, and the sleep begins anew"


def test_many_runs_are_cancelled_repeated_and_deleted(page: Page, stage: Stage) -> None:
    started = [stage.start("shop/ordered", n=number) for number in range(3)]
    page.goto("/runs")
    expect(page.get_by_role("button", name="Cancel")).to_be_disabled()
    page.get_by_label("Check all").check()
    page.get_by_label(f"Check run {started[0].id}").uncheck()
    expect(page.locator("#checked")).to_have_text("2 checked")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("status")).to_have_text("2 runs were cancelled.")
    assert [stage.bench.get(run).status for run in started] == [
        RunStatus.RUNNING,
        RunStatus.CANCELLED,
        RunStatus.CANCELLED,
    ]

    page.get_by_label(f"Check run {started[1].id}").check()
    page.get_by_role("button", name="Run again").click()
    expect(page.get_by_role("status")).to_have_text("1 run was started again.")
    expect(page.locator("tbody tr")).to_have_count(4)

    page.get_by_label("Check all").check()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("status")).to_have_text(
        "2 runs were deleted; 2 have not ended (cancel them first), or are held."
    )
    expect(page.locator("tbody tr")).to_have_count(2)


def test_all_runs_that_are_found_are_cancelled_and_repeated(page: Page, stage: Stage) -> None:
    started = [stage.start("shop/ordered", n=number) for number in range(3)]
    kept = stage.start("shop/ordered", n=7)
    page.goto("/runs?where=event.data.n%20%3C%203")
    page.get_by_role("link", name="cancel", exact=True).click()
    expect(page.locator("h1")).to_have_text("Cancel 3 runs?")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("status")).to_have_text("3 runs were cancelled.")
    assert {stage.bench.get(run).status for run in started} == {RunStatus.CANCELLED}
    assert stage.bench.get(kept).status is RunStatus.RUNNING

    stage.bench.inline.clock.advance(1000)
    page.get_by_role("link", name="run again").click()
    expect(page.locator("h1")).to_have_text("Run again 3 runs?")
    replay = page.locator("input[name=replay]").input_value()
    page.get_by_role("button", name="Run again").click()
    expect(page.get_by_role("status")).to_have_text("3 runs were started again.")
    # It is sent once more.
    again = {"action": "replay", "where": "event.data.n < 3"}
    assert stage.http.post("/runs/many", params=again, data={"replay": replay}).status_code == 303
    stage.drain()
    assert len(stage.bench.rows(schema.run)) == 7

    for path in ("/runs/many?action=cancel", "/runs/many?action=erase&where=true"):
        assert stage.http.get(path).status_code == 400


def test_a_form_that_is_sent_twice_repeats_a_run_once(stage: Stage) -> None:
    run = stage.start("shop/ship", n=1)
    form = {"run": run.id, "replay": "01JD0000000000000000000000"}
    for _ in range(2):
        assert stage.http.post("/runs/replay", data=form).status_code == 303
    assert len(stage.bench.rows(schema.run)) == 1, "it was not there yet when that replay began"
    page = stage.http.get("/runs").text
    form["replay"] = page.partition('name="replay" value="')[2][:26]
    stage.bench.inline.clock.advance(1000)
    for _ in range(2):
        assert stage.http.post("/runs/replay", data=form).status_code == 303
    stage.drain()
    assert len(stage.bench.rows(schema.run)) == 2


def test_events_are_sent_from_an_editor(page: Page, stage: Stage) -> None:
    page.goto("/events")
    editor = page.get_by_label("One event, or a list of them")
    editor.fill('{"name": "shop/ship", "data": {"n": 1}')
    expect(page.locator(".problem")).not_to_be_empty()
    page.get_by_role("button", name="Send").click()
    assert stage.bench.events("shop/ship") == [], "it is no JSON"
    editor.fill('{"name": "shop/ship", "data": {"n": 1}}')
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("status")).to_have_text("The event was sent.")
    expect(page.locator("h1")).to_have_text("shop/ship")
    stage.drain()
    expect(page.locator("#started")).to_contain_text("completed")

    page.get_by_text("Send it again").click()
    page.get_by_role("textbox", name="Event").fill('[{"name": "shop/ship", "data": {"n": 2}}, {"name": "shop/other"}]')
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("status")).to_have_text("2 events were sent.")
    expect(page.locator("tbody tr")).to_have_count(3)
    stage.drain()
    page.get_by_label("Where").fill("event.data.n == 2")
    page.get_by_label("Where").press("Enter")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_label("internal").check()
    page.get_by_label("Where").fill("")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("tbody")).to_contain_text("inngest/function.finished")

    refused = stage.http.post("/events", data={"event": '[{"name": "shop/good"}, {"name": "inngest/bad"}]'})
    assert refused.status_code == 400
    assert "Nothing was sent" in refused.text
    assert stage.bench.events("shop/good") == []


def test_an_app_is_added_by_its_address_and_removed(page: Page, stage: Stage) -> None:
    page.goto("/apps")
    expect(page.locator("tbody tr")).to_contain_text("in the workers")
    page.get_by_label("Add an app by its address").fill("http://127.0.0.1:9/api/inngest")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("status")).to_contain_text("cannot be reached")

    client = stage.client("sample")

    @client.create_function(fn_id="fn", trigger=official.TriggerEvent(event="sample/go"))
    def fn(ctx: official.ContextSync) -> None: ...

    from fastapi import FastAPI
    from inngest import fast_api

    app = FastAPI()
    fast_api.serve(app, client, [fn])
    with served(app) as origin:
        page.get_by_label("Add an app by its address").fill(f"{origin}/api/inngest")
        page.get_by_role("button", name="Add").click()
        row = page.locator("tbody tr", has_text="sample")
        expect(row).to_contain_text("py:v")
        row.get_by_role("button", name="Synchronise").click()
        expect(page.get_by_role("status")).to_contain_text("was asked to register")
    row.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("status")).to_contain_text("archived")
    expect(page.locator("tbody tr")).to_have_count(1)


def test_a_group_of_failures_is_run_again(page: Page, stage: Stage) -> None:
    for number in range(3):
        stage.start("shop/ship", n=number, lost=True)
    page.goto("/failures")
    [row] = [page.locator("tbody tr")]
    expect(row).to_have_count(1)
    expect(row).to_contain_text("no address for order 2")
    expect(row.locator(".number")).to_have_text("3")
    stage.bench.inline.clock.advance(1000)
    page.reload()
    row.get_by_role("button", name="Run again").click()
    expect(page.get_by_role("status")).to_have_text("3 of 3 were started again.")
    stage.drain()
    page.reload()
    expect(row.locator(".number")).to_have_text("6")


def test_pages_work_without_scripts(browser: Browser, stage: Stage) -> None:
    run = stage.start("shop/ordered", n=1)
    context = browser.new_context(base_url=stage.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/runs")
    page.get_by_label(f"Check run {run.id}").check()
    page.get_by_role("button", name="Cancel").click()
    assert page.get_by_role("status").text_content() == "1 run was cancelled."
    page.get_by_label("cancelled", exact=True).check()
    page.get_by_role("button", name="Filter").click()
    assert page.locator("tbody tr").count() == 1
    context.close()


def test_a_function_is_called_paused_and_resumed(page: Page, stage: Stage) -> None:
    stage.start("shop/ship", n=1)
    page.goto("/functions")
    page.get_by_role("link", name="ship").first.click()
    expect(page.locator("h1")).to_contain_text("active")
    expect(page.locator(".charts svg").first).to_be_visible()
    editor = page.get_by_label("Data of the event that it gets")
    editor.fill("[1")
    page.get_by_role("button", name="Invoke").click()
    expect(page.locator(".problem")).not_to_be_empty()
    editor.fill('{"n": 2}')
    page.get_by_role("button", name="Invoke").click()
    expect(page.get_by_role("status")).to_contain_text("called")
    stage.drain()
    expect(page.locator("h1 .badge")).to_have_text("completed")

    page.goto("/functions/app-ship")
    page.get_by_role("button", name="Pause, hold new runs").click()
    expect(page.get_by_role("status")).to_contain_text("held")
    held = stage.start("shop/ship", n=3)
    page.reload()
    expect(page.locator("main")).to_contain_text("held until the function is resumed")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("h1")).to_contain_text("active")
    stage.drain()
    assert stage.bench.get(held).status is RunStatus.COMPLETED
    page.get_by_role("button", name="Pause, skip new runs").click()
    expect(page.locator("h1")).to_contain_text("skip")
    assert stage.start("shop/ship", n=4).status is RunStatus.SKIPPED
    page.get_by_role("button", name="Drain").click()
    expect(page.get_by_role("status")).to_contain_text("ends the runs that it has")


def test_workers_are_asked_once_the_page_is_there(page: Page, stage: Stage) -> None:
    page.goto("/workers")
    expect(page.locator("main")).to_contain_text("nobody")
    # It asks by itself, and nobody is there.
    expect(page.locator("#asked")).to_contain_text("No worker answers")
