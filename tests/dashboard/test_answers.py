"""What pages cost, and that nothing hostile gets through them; over plain HTTP."""

from __future__ import annotations

import pytest

from inngest_celery.server.options import Options
from inngest_celery.store import schema
from tests.dashboard.counting import statements_of
from tests.functions.bench import Bench
from tests.server.stage import Stage, staged

PAGES = (
    "/runs",
    "/runs?status=FAILED&last=24h",
    "/runs?where=event.data.n%20%3E%3D%200",
    "/events",
    "/failures",
    "/apps",
)


def test_a_page_costs_the_same_however_much_is_on_it(stage: Stage) -> None:
    def cost(path: str) -> int:
        statements[path] = statements_of(stage, path)
        return len(statements[path])

    statements: dict[str, list[str]] = {}
    run = stage.start("shop/ordered", n=0)
    pages = (*PAGES, f"/runs/{run.id}", f"/events/{run.event_id}")
    few = {path: cost(path) for path in pages}
    # What a run waits for is asked of its function, its jobs and its limits.
    assert max(few.values()) <= 15, few
    assert max(few[path] for path in PAGES) <= 3, few
    for number in range(30):
        stage.start("shop/ship", n=number, lost=number % 2 == 0)
    stage.bench.finish(run)
    many = {path: cost(path) for path in pages}
    more = {path: (few[path], statements[path]) for path in pages if many[path] > few[path]}
    assert not more


@pytest.mark.databases("sqlite")
def test_runs_are_paged_by_key(stage: Stage) -> None:
    started = [stage.start("shop/ship", n=number).id for number in range(90)]
    seen: list[str] = []
    path = "/runs"
    while path:
        text = stage.http.get(path).text
        seen += [part[:26] for part in text.split('name="run" value="')[1:]]
        older = text.partition('rel="next"')[0].rpartition('href="')[2] if 'rel="next"' in text else ""
        path = older.partition('"')[0].replace("&amp;", "&")
    assert seen == started[::-1]


@pytest.mark.databases("sqlite")
def test_what_comes_from_outside_is_text(stage: Stage) -> None:
    hostile = "<script>alert(1)</script>\"'"
    event_id = stage.send("shop/ordered", n=hostile)
    stage.send(f"shop/{hostile}")
    stage.drain()
    [run] = stage.bench.inline.runs.of_event(event_id)
    stage.bench.advance(minutes=1)
    [step] = stage.bench.steps(run)
    for path in ("/runs", f"/runs/{run.id}?step={step.id}", "/events", f"/events/{event_id}", f"/runs?where={hostile}"):
        answer = stage.http.get(path)
        assert "<script>alert" not in answer.text, path
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/runs?status=NONE", 400),
        ("/runs?last=9y", 400),
        ("/runs?since=yesterday", 400),
        ("/runs?function=unknown", 400),
        ("/runs?cursor=x", 400),
        ("/runs/unknown", 404),
        ("/events/unknown", 404),
        ("/events?last=9y", 400),
    ],
)
def test_a_wrong_address_is_told_on_a_page(stage: Stage, path: str, status: int) -> None:
    answer = stage.http.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert "Traceback" not in answer.text


@pytest.mark.databases("sqlite")
def test_nobody_sees_a_page_where_people_log_in(database_url: str) -> None:
    bench = Bench(database_url, inngest_signing_key="signkey-prod-0123456789abcdef")
    browser = {"accept": "text/html"}
    try:
        with staged(bench, Options(development=False, discovery=False, poll_interval=0)) as stage:
            answer = stage.http.get("/runs", headers=browser)
            assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2Fruns")
            assert stage.http.get("/live").status_code == 401
            assert stage.http.post("/events", data={"event": '{"name": "a/b"}'}).status_code == 401
            assert stage.bench.rows(schema.event) == []
            login = stage.http.get("/login", headers=browser).text
            assert 'aria-label="Pages"' not in login
            assert stage.http.get("/static/style.css").status_code == 200
    finally:
        bench.close()


@pytest.mark.databases("sqlite")
def test_what_is_done_stands_in_the_log(stage: Stage) -> None:
    run = stage.start("shop/ordered", n=1)
    assert stage.http.post(f"/runs/{run.id}/cancel").status_code == 303
    assert stage.http.post("/runs/delete", data={"run": run.id}).status_code == 303
    assert stage.http.post("/functions/app-ship/pause", data={"mode": "hold"}).status_code == 303
    log = stage.http.get("/audit").text
    for action in ("run.cancel", "runs.delete", "function.pause"):
        assert action in log
