"""The log: what was done by whom stands in it, whatever way it was done, and before it is done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import sqlalchemy as sa

from inngest_celery.server.access import audit
from inngest_celery.server.access.roles import Person, Role
from inngest_celery.server.graphql import schema as graphql
from inngest_celery.server.options import Options
from inngest_celery.server.state import Server
from inngest_celery.store import audit as rows
from inngest_celery.store import schema
from inngest_celery.worker.runtime import runtime_of
from tests.functions.bench import Bench
from tests.server.access.conftest import NO_ID, Guarded
from tests.worker_process import ROOT

SECRET = "a-secret-of-a-payload"
MUTATIONS = {
    "createApp": ('(input: {url: "http://127.0.0.1:1/api?key=SECRET"}) { id }', "app.sync"),
    "updateApp": ('(input: {id: "x", url: "http://127.0.0.1:1/api"}) { id }', "app.sync"),
    "deleteApp": ('(id: "app")', "app.delete"),
    "deleteAppByName": ('(name: "none")', "app.delete"),
    "invokeFunction": ('(functionSlug: "app-fn", data: {x: "SECRET"})', "function.invoke"),
    "cancelRun": (f'(runID: "{NO_ID}") {{ id }}', "run.cancel"),
    "rerun": (f'(runID: "{NO_ID}", fromStep: {{stepID: "s", input: "[\\"SECRET\\"]"}})', "run.rerun"),
    # It is refused whole.
    "createDebugSession": ('(input: {functionSlug: "app-fn"}) { debugRunID }', None),
}
REQUESTS = [
    ("DELETE", f"/v1/runs/{NO_ID}", None, "run.cancel"),
    ("POST", "/v1/signals", {"signal": "go", "data": SECRET}, "signal.send"),
    (
        "POST",
        "/v1/cancellations",
        {
            "app_id": "app",
            "function_id": "app-fn",
            "started_before": "2020-01-01T00:00:00Z",
            "if": f"event.data.x == '{SECRET}'",
        },
        "run.cancel_many",
    ),
    ("DELETE", f"/v1/cancellations/{NO_ID}", None, "cancellation.delete"),
    ("POST", "/v2/runs/RUN/cancel", None, "run.cancel"),
    ("POST", "/v2/runs/RUN/rerun", {"fromStep": {"stepId": "s", "input": [SECRET]}}, "run.rerun"),
    ("POST", "/v2/apps/app/functions/app-fn/invoke", {"data": {"x": SECRET}}, "function.invoke"),
    ("POST", "/v2/events", {"name": "test/other", "data": {"x": SECRET}}, "event.send"),
    ("POST", "/invoke/app-fn", {"data": {"x": SECRET}}, "function.invoke"),
]


@pytest.fixture
def run_id(bench: Bench) -> str:
    @bench.function()
    def fn(ctx: Any) -> None:
        ctx.step.sleep("long", 3_600_000)

    return bench.run().id


def entries(bench: Bench, limit: int = 100) -> list[tuple[rows.AuditRow, rows.OutcomeRow | None]]:
    with bench.database.autocommit() as connection:
        return rows.page(connection, rows.AuditFilter(), limit)


@pytest.mark.databases("sqlite")
def test_whatever_programs_change_stands_in_the_log_without_payloads(run_id: str, guarded: Guarded) -> None:
    program, bench = guarded.program("operate"), guarded.bench
    assert set(MUTATIONS) == set(graphql._schema.mutation_type.fields), "a mutation that the table does not know"  # type: ignore[union-attr]
    for name, (arguments, action) in MUTATIONS.items():
        before = len(entries(bench))
        query = f"mutation {{ {name}{arguments} }}".replace("SECRET", SECRET)
        assert program.post("/v0/gql", json={"query": query}).status_code == 200
        assert [row.action for row, _ in entries(bench)[: len(entries(bench)) - before]] == [action] * bool(action), (
            name
        )
    for method, path, body, action in REQUESTS:
        before = len(entries(bench))
        answer = program.request(method, path.replace("RUN", run_id), json=body)
        assert answer.status_code in (200, 201, 400, 404), answer.text
        [(row, outcome)] = entries(bench)[: len(entries(bench)) - before]
        assert (row.action, row.actor, row.kind, row.role) == (action, "test", "token", "operator")
        assert outcome is not None
        assert (outcome.outcome == "done") == (answer.status_code < 300), path
    with bench.database.autocommit() as connection:
        for table in (schema.audit, schema.audit_outcome):
            assert SECRET not in str(connection.execute(sa.select(table)).all())


def test_an_entry_is_there_before_its_action_and_its_outcome_after_it(bench: Bench) -> None:
    runtime = runtime_of(bench.app)
    server, ada = Server(runtime, Options()), Person("ada", Role.ADMIN, "session")
    bench.inline.drain()
    with audit.record(server, ada, "run.rerun", "RUN", {"from_step": "s"}) as entry:
        assert [(row.action, outcome) for row, outcome in entries(bench)] == [("run.rerun", None)]
        entry.tell(run_id="NEW")
    with pytest.raises(ZeroDivisionError), audit.record(server, ada, "run.cancel", "x" * 300):
        raise ZeroDivisionError
    audit.record(server, ada, "login", outcome="login_failed")
    told = [(row.action, outcome.outcome if outcome else None) for row, outcome in entries(bench)]
    assert told == [("login", "login_failed"), ("run.cancel", "ZeroDivisionError"), ("run.rerun", "done")]
    row, outcome = entries(bench)[2]
    assert outcome is not None
    assert (row.actor, json.loads(row.details), json.loads(outcome.details)) == (
        "ada",
        {"from_step": "s"},
        {"run_id": "NEW"},
    )
    with bench.database.autocommit() as connection:
        filtered = rows.page(connection, rows.AuditFilter(actor="ada", action="run.cancel", subject="x" * 255), 10)
        assert [row.id for row, _ in filtered] == [entries(bench)[1][0].id]
        older = rows.page(connection, rows.AuditFilter(), 1, before=entries(bench)[0][0].id)
        assert [row.action for row, _ in older] == ["run.cancel"]


KILLED = """
import os, signal, sys
from celery import Celery
from inngest_celery.worker import auditing
from inngest_celery.worker.runtime import runtime_of
app = Celery(broker="memory://")
app.conf.inngest_database_url = sys.argv[1]
with auditing.begin(runtime_of(app), auditing.Actor("ada", "session", "admin"), "run.cancel", "RUN"):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.databases("sqlite")
def test_what_a_process_was_doing_when_it_was_killed_stands_in_the_log(bench: Bench, database_url: str) -> None:
    bench.inline.drain()
    killed = subprocess.run([sys.executable, "-c", KILLED, database_url], cwd=ROOT, env=os.environ, check=False)
    assert killed.returncode == -9
    [(row, outcome)] = entries(bench)
    assert (row.actor, row.action, row.subject, outcome) == ("ada", "run.cancel", "RUN", None)


@pytest.mark.databases("sqlite")
def test_nothing_is_done_that_the_log_cannot_take(run_id: str, guarded: Guarded) -> None:
    with guarded.bench.database.transaction() as connection:
        connection.execute(sa.text("drop table inngest_audit"))
    assert guarded.sdk().delete(f"/v1/runs/{run_id}").status_code == 503
    assert not guarded.bench.inline.runs.get(run_id).ended
