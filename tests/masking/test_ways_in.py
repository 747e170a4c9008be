"""What is masked before it is stored is stored nowhere, by whatever way it comes into this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery, signals
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from sqlalchemy.orm import Session

import inngest_celery as inngest
from inngest_celery.sdk.cutover import BEGUN
from inngest_celery.server.application import create_app
from inngest_celery.worker.runtime import runtime_of
from inngest_celery.worker.task_events import tell_tasks
from tests.functions.bench import Bench
from tests.masking.generated import RULES, Planted, planted
from tests.server.stage import QUIET

pytestmark = pytest.mark.databases("sqlite")
_SIGNALS = {"prerun": "began", "success": "succeeded", "failure": "failed", "retry": "retried", "revoked": "revoked"}


def refuse(body: Any) -> None:
    raise LookupError(f"there is no {body}")


def passed_on(body: Any) -> Any:
    return {"again": body}


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    bench = Bench(
        database_url,
        inngest_masking=[{**rule, "at": "store"} for rule in RULES],
        inngest_task_events=["own.*"],
        inngest_webhooks={"open": {}},
    )

    @bench.function(retries=0)
    def fn(ctx: inngest.ContextSync) -> Any:
        ctx.step.run("pass on", passed_on, ctx.event.data)
        return ctx.step.run("break", refuse, ctx.event.data)

    bench.client.cutover(fn)(bench.app.task(name="old", shared=False)(passed_on))
    for body in (refuse, passed_on):
        bench.app.task(name=f"own.{body.__name__}", shared=False)(body)
    assert bench.inline is not None
    yield bench
    bench.close()
    for signal, uid in _SIGNALS.items():
        getattr(signals, f"task_{signal}").disconnect(dispatch_uid=f"inngest_{uid}")


def in_a_transaction(bench: Bench, data: dict[str, Any]) -> None:
    with Session(bench.database.engine) as session, session.begin():
        bench.client.send_sync(inngest.Event(name="test/go", data=data), session=session)


def as_a_call(bench: Bench, data: dict[str, Any]) -> None:
    task = bench.app.tasks["app/fn"]
    task.delay(data)


def as_a_webhook(bench: Bench, data: dict[str, Any]) -> None:
    with TestClient(create_app(runtime_of(bench.app), QUIET)) as http:
        assert http.post("/w/open", json=data).status_code == 200


def as_the_end_of_a_task(bench: Bench, data: dict[str, Any]) -> None:
    app: Celery = bench.app
    tell_tasks(app)
    app.tasks["own.passed_on"].apply((data,))
    app.tasks["own.refuse"].apply((), {"body": data})


def as_a_shadow(bench: Bench, data: dict[str, Any]) -> None:
    bench.send(BEGUN, args=[data], kwargs=data, _inngest={"shadow": "app-fn"})


@pytest.mark.parametrize(
    "way", [in_a_transaction, as_a_call, as_a_webhook, as_the_end_of_a_task, as_a_shadow], ids=lambda way: way.__name__
)
@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(payload=planted(secrets=5))
def test_it_is_stored_nowhere(bench: Bench, way: Callable[[Bench, dict[str, Any]], None], payload: Planted) -> None:
    way(bench, payload.data)
    bench.inline.drain()
    found = bench.dump()
    assert "[masked]" in found
    assert payload.found_in(found) == []
