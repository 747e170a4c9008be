"""What pages show, in a real browser."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.dashboard.conftest import SCREENSHOTS
from tests.server.stage import Stage

pytestmark = pytest.mark.databases("sqlite")


def test_runs_are_listed_found_and_opened_by_keys(page: Page, stage: Stage) -> None:
    first = stage.start("shop/ordered", n=1)
    shipped = stage.start("shop/ship", n=2)
    lost = stage.start("shop/ship", n=3, lost=True)
    page.goto("/")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.nth(0)).to_contain_text("failed")
    expect(rows.nth(1)).to_contain_text("completed")
    expect(rows.nth(2)).to_contain_text("shop/ordered")

    page.get_by_label("failed", exact=True).check()
    page.get_by_role("button", name="Filter").click()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text(lost.id)

    page.goto("/runs")
    page.get_by_label("Where").fill("event.data.n == 2")
    page.get_by_label("Where").press("Enter")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text(shipped.id)
    page.get_by_label("Where").fill("event.data.n ==")
    page.get_by_label("Where").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("ends too early")

    page.goto("/runs")
    for key in ("j", "j", "k", "j", "j"):
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{stage.url}/runs/{first.id}")
    page.keyboard.press("g")
    page.keyboard.press("e")
    expect(page.get_by_role("heading", level=1)).to_have_text("Events")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()


def test_what_is_new_appears_by_itself(page: Page, stage: Stage) -> None:
    page.goto("/runs")
    expect(page.locator("tbody")).to_contain_text("No runs yet")
    with page.expect_response("**/live"):
        page.reload()
    run = stage.start("shop/ordered", n=1)
    row = page.locator(f"#run-{run.id}")
    expect(row).to_contain_text("running")
    row.get_by_role("checkbox").check()
    other = stage.start("shop/ship", n=2)
    expect(page.locator(f"#run-{other.id}")).to_contain_text("completed")
    # What somebody is doing stays as it is.
    expect(row.get_by_role("checkbox")).to_be_checked()
    expect(page.locator("#checked")).to_have_text("1 checked")

    page.goto(f"/runs/{run.id}")
    expect(page.locator(".why")).to_contain_text("charge")
    stage.bench.advance(minutes=1)
    expect(page.locator(".why")).to_contain_text("cool down")
    stage.bench.advance(minutes=5)
    expect(page.locator(".why")).to_contain_text("paid")
    stage.send("shop/paid")
    stage.drain()
    expect(page.locator("h1 .badge")).to_have_text("completed")


def test_a_run_shows_when_it_did_what(page: Page, stage: Stage) -> None:
    run = stage.start("shop/ordered", n=7)
    stage.bench.finish(run)
    page.goto(f"/run?runID={run.id}")
    expect(page).to_have_url(f"{stage.url}/runs/{run.id}")
    names = page.locator("a.line .name")
    expect(names).to_have_text(
        ["order", "charge attempt 2", "cool down Sleep", "ship InvokeFunction", "paid WaitForEvent"]
    )
    expect(page.locator("a.line .took").nth(2)).to_have_text("5 min 0 s")
    kinds = page.locator("a.line").nth(1).locator("rect").evaluate_all("bars => bars.map(bar => bar.classList[0])")
    assert kinds == ["queued", "failed", "retrying", "completed"]

    page.get_by_role("link", name="charge").click()
    step = page.locator("#step")
    expect(step).to_contain_text('"receipt": 7')
    expect(step).to_contain_text("Attempt 1 failed")
    expect(step).to_contain_text("the bank is closed")
    page.get_by_role("link", name="ship").click()
    page.locator("#step").get_by_role("link").first.click()
    expect(page.locator("h1")).to_contain_text("ship")
    page.get_by_role("link", name=run.id).click()
    expect(page.locator("h1")).to_contain_text("order")


PAGES = (
    "/runs",
    "/events",
    "/functions",
    "/functions/app-order",
    "/apps",
    "/workers",
    "/failures",
    "/account",
    "/users",
    "/tokens",
    "/audit",
    "/keys",
    "/runs/{run}/report",
    "/runs/{run}?step={step}",
    "/events/{event}",
    "/runs/unknown",
)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_can_be_read_by_everybody(browser: Browser, stage: Stage, theme: str) -> None:
    run = stage.start("shop/ordered", n=1)
    stage.bench.advance(minutes=1)
    stage.start("shop/ship", n=1, lost=True)
    [step] = stage.bench.steps(run)
    context = browser.new_context(base_url=stage.url, color_scheme=theme, viewport={"width": 1280, "height": 900})  # type: ignore[arg-type]
    page = context.new_page()
    for path in PAGES:
        address = path.format(run=run.id, step=step.id, event=run.event_id)
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto(address)
        name = address.split("?")[0].strip("/").split("/")
        shot = name[0] if len(name) == 1 else "unknown" if name[1] == "unknown" else name[0].removesuffix("s")
        page.screenshot(path=SCREENSHOTS / f"{theme}-{shot}.png", full_page=True)
        found = Axe().run(page).response["violations"]
        serious = [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in found]
        assert not serious, (address, serious)
        # On a phone nothing is cut off at the side.
        page.set_viewport_size({"width": 360, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, address
    page.screenshot(path=SCREENSHOTS / f"{theme}-phone.png")
    context.close()


def test_the_theme_can_be_chosen(page: Page) -> None:
    page.goto("/runs")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Theme").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark != light
    page.reload()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
