"""Bad input is refused at the earliest moment, with a stable code, and nothing is half written."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from celery import Celery

import inngest_celery as inngest
from inngest_celery.sdk.errors import EventInvalidError, FunctionConfigInvalidError, FunctionNotFoundError
from inngest_celery.settings import SettingsError, settings_of
from inngest_celery.store import schema
from inngest_celery.store.database import Database, DatabaseError
from inngest_celery.testing.inline import Inline
from tests.functions.bench import GO, Bench

pytestmark = pytest.mark.databases("sqlite")


@pytest.fixture
def hot() -> bool:
    """One way is enough: what is refused never runs."""
    return True


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"trigger": inngest.TriggerEvent(event="a", expression="event.data.a ==")}, "expression_invalid"),
        ({"trigger": inngest.TriggerEvent(event="a", expression="other.data.a == 1")}, "expression_unknown_name"),
        ({"trigger": inngest.TriggerEvent(event=" ")}, "event_name_invalid"),
        ({"trigger": inngest.TriggerEvent(event="a*b")}, "event_name_invalid"),
        ({"trigger": inngest.TriggerEvent(event="a" * 256)}, "event_name_invalid"),
        ({"trigger": inngest.TriggerCron(cron="61 * * * *")}, "schedule_invalid"),
        ({"trigger": inngest.TriggerCron(cron="@hourly")}, "schedule_invalid"),
        ({"trigger": inngest.TriggerCron(cron="TZ=Mars/Base * * * * *")}, "schedule_invalid"),
        ({"trigger": inngest.TriggerCron(cron="* * * * *", jitter="6m")}, "schedule_invalid"),
        ({"trigger": []}, "function_config_invalid"),
        ({"cancel": [inngest.Cancel(event="a", if_exp="event.data.x.exists(y, y)")]}, "expression_not_allowed"),
        ({"retries": 21}, "function_config_invalid"),
        ({"retries": -1}, "function_config_invalid"),
        ({"batch_events": inngest.Batch(max_size=1, timeout=5000)}, "batch_size_invalid"),
        ({"celery_options": {"acks_late": False}}, "celery_option_invalid"),
        ({"fn_id": " "}, "function_config_invalid"),
    ],
)
def test_function_options(bench: Bench, options: dict[str, Any], code: str) -> None:
    with pytest.raises(FunctionConfigInvalidError) as raised:

        @bench.function(**options)
        async def fn(ctx: inngest.Context) -> None:
            pass

    assert raised.value.code == code
    assert not bench.client.functions
    assert not [name for name in bench.app.tasks if name.startswith("app/")]


def test_a_duplicate_function_id(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> str:
        return "first"

    with pytest.raises(FunctionConfigInvalidError) as raised:

        @bench.function()
        async def other(ctx: inngest.Context) -> str:
            return "second"

    assert raised.value.code == "function_id_duplicate"
    assert bench.output() == "first"


def test_a_duplicate_of_another_client_of_the_same_app(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> None:
        pass

    twin = inngest.Inngest(app_id="app", celery=bench.app)
    with pytest.raises(FunctionConfigInvalidError) as raised:

        @twin.create_function(fn_id="fn", trigger=GO)
        async def other(ctx: inngest.Context) -> None:
            pass

    assert raised.value.code == "function_id_duplicate"


@pytest.mark.parametrize(
    "make",
    [
        lambda: inngest.Throttle(limit=1, period=999),
        lambda: inngest.Debounce(period=1),
        lambda: inngest.RateLimit(limit=1, period=0),
        lambda: inngest.Timeouts(start=500),
        lambda: inngest.Cancel(event="a", timeout=10),
        lambda: inngest.Throttle(limit=1, period=1000, keys="x"),  # type: ignore[call-arg]
        lambda: inngest.TriggerEvent(event="a", expresion="true"),  # type: ignore[call-arg]
    ],
)
def test_config_models(make: Any) -> None:
    with pytest.raises(FunctionConfigInvalidError) as raised:
        make()
    assert raised.value.code == "function_config_invalid"


@pytest.mark.parametrize(
    ("event", "code", "field"),
    [
        ({"name": ""}, "event_name_invalid", "name"),
        ({"name": "  "}, "event_name_invalid", "name"),
        ({"name": "x" * 513}, "event_name_invalid", "name"),
        ({"name": "nul\x00"}, "event_name_invalid", "name"),
        ({"name": "half\ud800"}, "event_name_invalid", "name"),
        ({"name": "inngest/mine"}, "event_name_invalid", "name"),
        ({"name": "Inngest/function.failed"}, "event_name_invalid", "name"),
        ({"name": "a", "data": {"x": "y" * (3 * 1024 * 1024)}}, "event_invalid", "data"),
        ({"name": "a", "data": {"x": float("nan")}}, "event_invalid", "data"),
        ({"name": "a", "ts": 5}, "event_invalid", "ts"),
        ({"name": "a", "id": "x" * 513}, "event_invalid", "id"),
        ({"name": "a", "id": "nul\x00"}, "event_invalid", "id"),
    ],
)
def test_events(bench: Bench, event: dict[str, Any], code: str, field: str) -> None:
    @bench.function(trigger=inngest.TriggerEvent(event="good"))
    async def fn(ctx: inngest.Context) -> None:
        pass

    assert bench.inline
    with pytest.raises(EventInvalidError) as raised:
        bench.client.send_sync([inngest.Event(name="good"), inngest.Event(**event)])
    assert (raised.value.code, raised.value.index, raised.value.field) == (code, 1, field)
    assert not bench.rows(schema.event)
    assert not bench.rows(schema.job)


@pytest.mark.parametrize("data", ["text", 7, [1]])
def test_data_that_is_no_object(data: Any) -> None:
    with pytest.raises(EventInvalidError, match=r"^Event.data: .*dictionary") as raised:
        inngest.Event(name="a", data=data)
    assert (raised.value.code, raised.value.field) == ("event_invalid", "data")


@pytest.mark.parametrize("name", [{}, {"name": 7}, {"name": None}])
def test_an_event_without_a_name(name: Any) -> None:
    with pytest.raises(EventInvalidError, match=r"^Event.name: ") as raised:
        inngest.Event(data={}, **name)
    assert raised.value.code == "event_name_invalid"


@pytest.mark.parametrize("events", ["a", {"name": "a"}, ["a"], [{"name": "a"}], None, inngest.Event])
def test_what_is_no_event(bench: Bench, events: Any) -> None:
    assert bench.inline
    with pytest.raises(EventInvalidError, match=r"^events\[0\]: is no Event") as raised:
        bench.client.send_sync(events)
    assert raised.value.code == "event_invalid"
    assert not bench.rows(schema.event)


async def handler(ctx: inngest.Context) -> None:
    """What stands for a function where one is wanted."""


@pytest.mark.parametrize(
    "use",
    [
        lambda ctx: ctx.step.invoke("i", function="app-other"),
        lambda ctx: ctx.step.invoke("i", function=handler),
        lambda ctx: ctx.step.invoke_by_id("i", function_id="other", data=[1]),
        lambda ctx: ctx.group.parallel((ctx.step.run("s", handler, ctx),)),
        lambda ctx: ctx.group.parallel((ctx.step.sleep("s", 1000),)),
    ],
)
def test_steps_that_can_never_work_are_not_tried_again(bench: Bench, use: Any) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> None:
        await use(ctx)

    run = bench.run()
    assert bench.error(run)["code"] == "step_invalid"


def test_a_decorated_handler_that_hides_that_it_is_async(bench: Bench) -> None:
    @bench.function()
    def fn(ctx: inngest.Context) -> Any:
        return handler(ctx)

    error = bench.error(bench.run())
    assert error["code"] == "async_unsupported"
    assert "async def" in error["message"]


def test_unknown_setting(bench: Bench) -> None:
    bench.app.conf.inngest_slices = 1
    with pytest.raises(SettingsError, match="inngest_slices is not a setting") as raised:
        settings_of(bench.app)
    assert raised.value.code == "setting_invalid"


@pytest.mark.parametrize("clock", ["", "sundial", "file:"])
def test_a_clock_of_no_kind(bench: Bench, clock: str) -> None:
    bench.app.conf.inngest_clock = clock
    with pytest.raises(SettingsError, match="inngest_clock: "):
        settings_of(bench.app)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("nonsense", "database_url_invalid"),
        ("", "database_url_invalid"),
        ("sqlite://", "database_url_invalid"),
        ("sqlite:///:memory:", "database_url_invalid"),
        ("postgresql+psycopg_async://x/y", "database_url_invalid"),
        ("postgresql+nodriver://x/y", "database_driver_missing"),
        ("mysql+nodriver://x/y", "database_driver_missing"),
        ("oracle://x/y", "database_unsupported"),
        ("postgres://x/y", "database_unsupported"),
    ],
)
def test_database_urls(url: str, code: str) -> None:
    with pytest.raises(DatabaseError) as raised:
        Database(url)
    assert raised.value.code == code


def test_a_database_that_is_not_migrated(empty_database_url: str) -> None:
    app = Celery("bare", broker="memory://", set_as_current=False)
    app.conf.inngest_database_url = empty_database_url
    client = inngest.Inngest(app_id="app", celery=app)
    with pytest.raises(Exception, match="migrate") as raised:
        client.send_sync(inngest.Event(name="a"))
    assert getattr(raised.value, "code", "").startswith("database_")
    app.close()


def test_a_function_that_is_removed_while_its_runs_sleep(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> str:
        await ctx.step.sleep("nap", 60_000)
        return "done"

    run = bench.run()
    without = Bench(str(bench.database.url.render_as_string(hide_password=False)))

    @without.function("another")
    async def another(ctx: inngest.Context) -> None:
        pass

    without.inline.clock.advance(61_000)
    with pytest.raises(FunctionNotFoundError, match=r"'app-fn'.*cancel the run") as raised:
        without.inline.drain()
    assert raised.value.code == "function_not_found"
    without.close()
    assert bench.output(run) == "done", "the next version has it again"


def test_an_inline_on_an_app_without_functions(database_url: str) -> None:
    app = Celery("empty", broker="memory://", set_as_current=False)
    inline = Inline(app, database_url=database_url)
    assert inline.send(inngest.Event(name="a")) == []
    inline.close()


def test_a_failing_send_in_a_callers_transaction_writes_nothing(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> None:
        pass

    assert bench.inline
    with bench.database.engine.connect() as connection:
        transaction = connection.begin()
        bench.client.send_sync(inngest.Event(name="test/go"), session=connection)
        assert connection.execute(sa.select(sa.func.count()).select_from(schema.event)).scalar_one() == 1
        transaction.rollback()
    bench.inline.drain()
    assert not bench.inline.runs.list()
    assert not bench.rows(schema.event)
