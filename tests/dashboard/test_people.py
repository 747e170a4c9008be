"""People at the dashboard of a server in production: they log in, and may do what their role allows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from inngest_celery.server.access import accounts
from inngest_celery.server.access.roles import Role
from inngest_celery.store.rows import RunStatus
from inngest_celery.worker.runtime import runtime_of
from tests.dashboard.conftest import define_shop
from tests.functions.bench import Bench
from tests.server.access.conftest import CLOUD, KEY, PASSWORD
from tests.server.access.conftest import cheap_passwords as cheap_passwords
from tests.server.stage import Stage, staged

pytestmark = pytest.mark.databases("sqlite")


@pytest.fixture
def stage(database_url: str, cheap_passwords: None) -> Iterator[Stage]:
    bench = Bench(database_url, inngest_signing_key=KEY)
    define_shop(bench)
    try:
        with staged(bench, CLOUD) as stage:
            for role in (Role.VIEWER, Role.ADMIN):
                accounts.add(runtime_of(bench.app), role.label, role, PASSWORD)
            yield stage
    finally:
        bench.close()


@pytest.fixture
def context(browser: Browser, stage: Stage) -> Iterator[BrowserContext]:
    context = browser.new_context(base_url=stage.url)
    context.set_default_timeout(10_000)
    yield context
    context.close()


def log_in(context: BrowserContext, name: str, password: str = PASSWORD) -> Page:
    page = context.new_page()
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto("/failures")
    assert page.url.endswith("/login?next=%2Ffailures")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    return page


def test_a_viewer_looks_and_an_admin_lets_in(context: BrowserContext, browser: Browser, stage: Stage) -> None:
    [run] = stage.bench.send("shop/ordered", n=1)
    page = log_in(context, "viewer", "wrong " + PASSWORD)
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("h1")).to_have_text("Failures")
    page.goto(f"/runs/{run.id}")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("main")).to_contain_text("role_missing")
    assert stage.bench.get(run).status is RunStatus.RUNNING
    page.goto("/users")
    expect(page.locator("h1")).to_have_text("Not allowed")
    page.goto("/account")
    page.get_by_role("button", name="Log out").click()
    page.goto("/runs")
    expect(page).to_have_url(f"{stage.url}/login?next=%2Fruns")

    page = log_in(context, "admin")
    page.get_by_role("link", name="admin").click()
    page.get_by_role("link", name="Users").click()
    page.get_by_label("Name", exact=True).fill("grace")
    page.locator("form.editor select").select_option("operator")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Add").click()
    expect(page.locator("tbody")).to_contain_text("grace")
    page.get_by_role("link", name="Tokens").click()
    page.get_by_label("What it is for").fill("ci")
    page.get_by_label("read", exact=True).check()
    page.get_by_role("button", name="Make").click()
    secret = page.get_by_role("status").locator("code").text_content()
    assert stage.http.get("/v2/runs", headers={"Authorization": f"Bearer {secret}"}).status_code == 200

    others = browser.new_context(base_url=stage.url)
    operator = log_in(others, "grace")
    operator.goto(f"/runs/{run.id}")
    operator.get_by_role("button", name="Cancel").click()
    expect(operator.get_by_role("status")).to_have_text("The run is cancelled.")
    page.get_by_role("link", name="Audit log").click()
    row = page.locator("tbody tr", has_text="run.cancel").first
    expect(row).to_contain_text("grace")
    expect(row).to_contain_text("done")

    # Whoever is shut out is out at once.
    page.get_by_role("link", name="Users").click()
    page.locator("tbody tr", has_text="grace").get_by_role("button", name="Shut out").click()
    operator.goto("/runs")
    assert operator.url.endswith("/login?next=%2Fruns")
    others.close()


def test_a_server_may_do_without_pages(database_url: str) -> None:
    bench = Bench(database_url, inngest_signing_key=KEY)
    try:
        with staged(bench, replace(CLOUD, dashboard=False)) as stage:
            assert stage.http.get("/runs").status_code == 404
            assert stage.http.get("/login").status_code == 200
            assert stage.http.get("/static/style.css").status_code == 200
            assert stage.http.get("/").status_code == 401
    finally:
        bench.close()
