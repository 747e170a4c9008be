"""Looking runs up, waiting for them, and a broker that cannot be."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from celery import Celery

import inngest_celery as inngest
from inngest_celery.settings import SettingsError
from inngest_celery.testing import Inline
from inngest_celery.worker.runs import ManyRunsError, RunNotFoundError
from inngest_celery.worker.runtime import runtime_of
from tests.databases import break_connections
from tests.waiting import wait_until

pytestmark = pytest.mark.databases("sqlite")


@pytest.fixture
def client(database_url: str) -> Iterator[inngest.Inngest]:
    app = Celery("runs", broker="memory://", set_as_current=False)
    app.conf.inngest_database_url = database_url
    made = inngest.Inngest(app_id="runs", celery=app)

    @made.create_function(fn_id="one", trigger=inngest.TriggerEvent(event="runs/one"))
    def one(ctx: inngest.ContextSync) -> str:
        return "done"

    for fn_id in ("a", "b"):
        made.create_function(fn_id=fn_id, trigger=inngest.TriggerEvent(event="runs/two"))(lambda ctx: None)
    yield made
    runtime_of(app).database.dispose()


def test_an_events_id_stands_for_its_one_run(client: inngest.Inngest, database_url: str) -> None:
    inline = Inline(client.celery, database_url=database_url)
    [event_id] = client.send_sync(inngest.Event(name="runs/one"))
    inline.drain()
    run = client.runs.get(event_id)
    assert run.output == "done"
    assert client.runs.get(run.id) == client.runs.wait(event_id) == run


def test_an_event_with_several_runs_names_them(client: inngest.Inngest, database_url: str) -> None:
    inline = Inline(client.celery, database_url=database_url)
    [event_id] = client.send_sync(inngest.Event(name="runs/two"))
    inline.drain()
    with pytest.raises(ManyRunsError, match="has started 2 runs") as caught:
        client.runs.get(event_id)
    assert all(run.id in str(caught.value) for run in client.runs.of_event(event_id))


@pytest.mark.databases("postgres", "mariadb")
def test_waiting_outlasts_a_database_that_drops_connections(client: inngest.Inngest, database_url: str) -> None:
    [event_id] = client.send_sync(inngest.Event(name="runs/one"))
    looks: list[object] = []
    engine = runtime_of(client.celery).database.engine
    sa.event.listen(engine, "checkin", lambda _connection, record: looks.append(record))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.runs.wait, event_id, timeout=60)
        for _ in range(3):
            looks.clear()
            wait_until(lambda: len(looks) > 3 or waiting.done(), message="looks at the database")
            break_connections(database_url)
        Inline(client.celery, database_url=database_url).drain()
        assert waiting.result(60).output == "done"


def test_waiting_begins_before_the_run_does(client: inngest.Inngest, database_url: str) -> None:
    inline = Inline(client.celery, database_url=database_url)
    [event_id] = client.send_sync(inngest.Event(name="runs/one"))
    with pytest.raises(TimeoutError, match="not started yet"):
        client.runs.wait(event_id, timeout=0)
    outputs: list[object] = []
    waiting = threading.Thread(target=lambda: outputs.append(client.runs.wait(event_id, timeout=10).output))
    waiting.start()
    inline.drain()
    waiting.join()
    assert outputs == ["done"]


@pytest.mark.parametrize(
    "delay",
    [
        lambda now: {"countdown": 3600},
        lambda now: {"eta": now + timedelta(hours=1)},
        lambda now: {"eta": (now + timedelta(hours=1)).isoformat()},
        lambda now: {"eta": (now + timedelta(hours=1)).replace(tzinfo=None)},
    ],
)
def test_a_call_with_a_countdown_or_an_eta_waits_in_the_database(
    client: inngest.Inngest, database_url: str, delay: Callable[[datetime], dict[str, Any]]
) -> None:
    inline = Inline(client.celery, database_url=database_url)
    client.functions["runs-one"].apply_async(**delay(datetime.now(UTC)))
    inline.advance(timedelta(minutes=59))
    assert [run for run in client.runs.list() if run.started_at] == []
    inline.advance(timedelta(minutes=2))
    assert [run.output for run in client.runs.list()] == ["done"]


def test_an_unknown_run(client: inngest.Inngest) -> None:
    for look in (client.runs.get, client.runs.wait, client.runs.cancel):
        with pytest.raises(RunNotFoundError, match="There is no run 'nothing'") as caught:
            look("nothing")
        assert caught.value.code == "run_not_found"


@pytest.mark.parametrize(
    ("broker", "why"), [("reddis://localhost", "No such transport: reddis"), ("redis://localhost:port/0", "'port'")]
)
def test_a_broker_of_no_kind_is_refused_before_anything_is_stored(database_url: str, broker: str, why: str) -> None:
    app = Celery("wrong", broker=broker, set_as_current=False)
    app.conf.inngest_database_url = database_url
    client = inngest.Inngest(app_id="wrong", celery=app)
    with pytest.raises(SettingsError, match=why) as caught:
        client.send_sync(inngest.Event(name="wrong/event"))
    assert caught.value.code == "broker_url_invalid"
    assert Inline(app, database_url=database_url).drain() == 0


REFUSED: dict[str, tuple[object, str]] = {
    **dict.fromkeys(["queue", "expires", "time_limit", "routing_key"], (1, "a call of runs/one")),
    "priority": ("high", "an int from 0 to 255, not 'high'"),
    "headers": ({"when": datetime.now(UTC)}, r"a datetime at \$.when is not JSON"),
}


@pytest.mark.parametrize("option", REFUSED)
def test_a_call_refuses_what_would_be_lost(client: inngest.Inngest, option: str) -> None:
    value, why = REFUSED[option]
    with pytest.raises(inngest.FunctionConfigInvalidError, match=f"{option}: .*{why}") as caught:
        client.functions["runs-one"].apply_async(**{option: value})
    assert caught.value.code == "celery_option_invalid"
    assert client.runs.list() == []


def test_a_call_may_not_mark_its_messages_as_ours(client: inngest.Inngest) -> None:
    with pytest.raises(inngest.FunctionConfigInvalidError, match="'inngest_flow' begins as those"):
        client.functions["runs-one"].apply_async(headers={"inngest_flow": "x"})
    assert client.runs.list() == []
