"""A real browser, a real server, and functions whose runs are in every state that a page can show."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

import inngest_celery as inngest
from tests.functions.bench import Bench
from tests.nursery import ROOT
from tests.server.stage import Stage, staged
from tests.services import browser as browser_path
from tests.services import missing

# What CI keeps.
SCREENSHOTS = ROOT / "artifacts" / "screenshots"


def define_shop(bench: Bench) -> None:
    """Functions of every kind that pages tell apart."""

    @bench.function("order", trigger=inngest.TriggerEvent(event="shop/ordered"), retries=2)
    def order(ctx: inngest.ContextSync) -> object:
        def charge() -> dict[str, object]:
            if ctx.attempt == 0:
                raise ValueError("the bank is closed")
            return {"receipt": ctx.event.data["n"]}

        receipt = ctx.step.run("charge", charge)
        ctx.step.sleep("cool down", timedelta(minutes=5))
        ctx.step.invoke("ship", function=ship, data={"n": ctx.event.data["n"]})
        ctx.step.wait_for_event("paid", event="shop/paid", timeout=timedelta(days=3))
        return receipt

    @bench.function("ship", trigger=inngest.TriggerEvent(event="shop/ship"), retries=0)
    def ship(ctx: inngest.ContextSync) -> str:
        if ctx.event.data.get("lost"):
            raise ValueError(f"no address for order {ctx.event.data['n']}")
        return "gone"


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    """The server with the shop."""
    bench = Bench(database_url)
    define_shop(bench)
    try:
        with staged(bench) as stage:
            yield stage
        bench.check()
    finally:
        bench.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if "chromium" in missing():
        pytest.skip("there is no Chromium")
    # Not for the whole run: while it is there, its event loop is the main thread's.
    with sync_playwright() as playwright:
        # Without a sandbox it also runs as root, as in many a CI.
        browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, stage: Stage, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page of the server, whose scripts may not fail, and which loads nothing from elsewhere."""
    context = browser.new_context(base_url=stage.url, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(10_000)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    page.on("request", lambda asked: problems.append(asked.url) if not asked.url.startswith(stage.url) else None)
    page.on("dialog", lambda dialog: dialog.accept())
    yield page
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=_shot(request.node.name))
    context.close()
    # A page that was to be refused is told by the browser, too.
    assert [each for each in problems if "Failed to load resource" not in each] == []


def _shot(name: str) -> Path:
    return SCREENSHOTS / f"{name.replace('[', '-').replace(']', '')}.png"
