"""Functions, their Celery side, and what their handlers are given."""

from __future__ import annotations

import contextvars
import functools
import logging
from typing import Any

import pytest
from celery import Celery

import inngest_celery as inngest
from inngest_celery.sdk.context import FilteredLogger, current_step
from inngest_celery.sdk.jsonable import encode_output, find_problem

EVENT = inngest.TriggerEvent(event="shop/order.placed")


def test_facts(client: inngest.Inngest) -> None:
    async def failed(ctx: inngest.Context) -> None:
        pass

    @client.create_function(fn_id="pay", name="Pay", trigger=EVENT, on_failure=failed, celery_options={"queue": "mail"})
    async def pay(ctx: inngest.Context) -> int:
        return 1

    assert (pay.id, pay.get_id(), pay.local_id, pay.name) == ("shop-pay", "shop-pay", "pay", "Pay")
    assert (pay.task_name, pay.on_failure_fn_id) == ("shop/pay", "shop-pay-failure")
    assert pay.is_handler_async is True
    assert pay.is_on_failure_handler_async is True
    assert pay.on_failure is failed
    assert pay.triggers == [EVENT]
    assert pay.celery_options == {"queue": "mail"}
    assert repr(pay) == "<Function shop-pay>"
    assert client.functions["shop-pay"] is pay
    failure = client.functions["shop-pay-failure"]
    assert failure is pay.on_failure_function
    assert (failure.handler, failure.name, failure.opts.retries) == (failed, "Pay (failure)", 0)
    assert failure.on_failure_function is None


def test_facts_of_a_sync_function(client: inngest.Inngest) -> None:
    function = client.create_function(fn_id="pay", trigger=EVENT)(lambda ctx: None)
    assert function.is_handler_async is False
    assert function.is_on_failure_handler_async is None
    assert function.on_failure_fn_id is None
    assert function.on_failure_function is None


def test_an_object_that_is_called_as_a_coroutine_is_async(client: inngest.Inngest) -> None:
    class Handler:
        async def __call__(self, ctx: inngest.Context) -> None: ...

    async def with_extra(extra: int, ctx: inngest.Context) -> None: ...

    for number, handler in enumerate((Handler(), functools.partial(with_extra, 1), Handler().__call__)):
        assert client.create_function(fn_id=str(number), trigger=EVENT)(handler).is_handler_async


def test_it_is_called_as_its_celery_task(client: inngest.Inngest, celery_app: Celery) -> None:
    function = client.create_function(fn_id="pay", trigger=EVENT)(lambda ctx: None)
    task = celery_app.tasks["shop/pay"]
    assert function.s(1, a=2) == task.s(1, a=2)
    assert function.si(1) == task.si(1)
    assert function.si(1).immutable


def test_start_makes_the_steps_known(client: inngest.Inngest) -> None:
    seen = []
    function = client.create_function(fn_id="pay", trigger=EVENT)(lambda ctx: seen.append(current_step.get()))
    step: Any = object()
    context: Any = type("Ctx", (), {"step": step})
    contextvars.copy_context().run(function.start, context)
    assert seen == [step]


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def logger(lines: Lines) -> logging.Logger:
    logger = logging.Logger("app", logging.DEBUG)
    logger.addHandler(lines)
    return logger


METHODS = ["critical", "debug", "error", "exception", "fatal", "info", "warn", "warning"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_logger_is_silent_until_it_is_live(method: str, logger: logging.Logger, lines: Lines) -> None:
    filtered = FilteredLogger(logger)
    getattr(filtered, method)("hidden")
    filtered.log(logging.INFO, "hidden")
    filtered.live = True
    getattr(filtered, method)("shown %s", 1)
    filtered.log(logging.INFO, "shown 2")
    assert [record.getMessage() for record in lines.records] == ["shown 1", "shown 2"]
    assert {record.filename for record in lines.records} == {"test_function.py"}


def test_the_logger_passes_on_everything_else(logger: logging.Logger) -> None:
    assert FilteredLogger(logger).getEffectiveLevel() == logging.DEBUG


def test_loggers_with_a_context_of_their_own(logger: logging.Logger, lines: Lines) -> None:
    filtered = FilteredLogger(logging.LoggerAdapter(logger, {"tenant": "acme"}))
    filtered.live = True
    filtered.info("hello")
    assert vars(lines.records[0])["tenant"] == "acme"


def test_the_clients_logger(logger: logging.Logger) -> None:
    client = inngest.Inngest(app_id="shop", logger=logger)
    assert client.logger is logger
    other = logging.getLogger("other")
    client.set_logger(other)
    assert client.logger is other


LOOP: list[object] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({1, 2}, "a set at $"),
        (b"x", "a bytes at $"),
        ({"a": [0, {"b": object()}]}, "an object at $.a[1].b"),
        ([float("inf")], "the number inf at $[0]"),
        ({("a", 1): 2}, "a key of type tuple at $"),
        (LOOP, "a reference to itself at $[0]"),
        ("\udfff", "half of a surrogate pair at $"),
    ],
)
def test_output_that_json_cannot_hold(value: object, problem: str) -> None:
    assert find_problem(value) == problem
    with pytest.raises(inngest.OutputUnserializableError) as caught:
        encode_output(value, "load")
    message = str(caught.value)
    assert message.startswith(f'"load" returned unserializable data: {problem}.')
    assert "PydanticSerializer" in message
    with pytest.raises(inngest.OutputUnserializableError, match=r"^returned unserializable data"):
        encode_output(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (0, "0"),
        ("", '""'),
        ([], "[]"),
        ({}, "{}"),
        (False, "false"),
        ((1, "ü"), '[1,"ü"]'),
        ({1: 2, None: 3}, '{"1":2,"null":3}'),
    ],
)
def test_output_that_json_holds(value: object, text: str) -> None:
    assert encode_output(value) == text


def test_output_that_is_too_deep() -> None:
    value: list[object] = []
    for _ in range(100_000):
        value = [value]
    assert find_problem(value) == "too many levels"


@pytest.mark.parametrize("typ", [list[int], int | None, dict[str, tuple[int, ...]]])
def test_serializer(typ: Any) -> None:
    serializer = inngest.PydanticSerializer()
    values: dict[Any, object] = {list[int]: [1], int | None: None, dict[str, tuple[int, ...]]: {"a": (1, 2)}}
    data = serializer.serialize(values[typ], typ)
    assert find_problem(data) is None
    assert serializer.deserialize(data, typ) == values[typ]
