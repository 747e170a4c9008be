"""Secrets go through a run, and from run to run, and stand nowhere in the database as they are."""

from __future__ import annotations

import json
from typing import Any

import pydantic
import pytest

import inngest_celery as inngest
from inngest_celery.masking.sealed import MARKER
from inngest_celery.worker.runs import seen
from inngest_celery.worker.runtime import runtime_of
from tests.functions.bench import Bench
from tests.functions.conftest import MakeBench

pytestmark = pytest.mark.databases("sqlite")
HUSH = "hüsh-4711"
Secret = inngest.Secret


class Account(pydantic.BaseModel):
    owner: str
    token: Secret[str]


@pytest.fixture
def keyed(make_bench: MakeBench) -> Bench:
    return make_bench(inngest_secret_key="ab" * 32)


def told(secret: Any) -> str:
    assert isinstance(secret, Secret), secret
    assert isinstance(secret.get_secret_value(), str)
    return str(secret.get_secret_value())


def check(bench: Bench) -> None:
    found = bench.dump()
    assert MARKER in found
    assert HUSH not in found
    assert HUSH.encode("unicode_escape").decode() not in found
    assert json.dumps(HUSH).strip('"') not in found


def test_a_sync_function(keyed: Bench) -> None:
    heard: list[str] = []

    @keyed.function(retries=0)
    def fn(ctx: inngest.ContextSync) -> Any:
        given = ctx.event.data["token"]
        heard.append(told(given))
        made = ctx.step.run("make", lambda: {"token": Secret(HUSH), "plain": 1})
        heard.append(told(made["token"]))
        ctx.step.sleep("a while", 60_000)
        used = ctx.step.run("use", lambda secret: len(told(secret)), made["token"])
        return {"n": used, "token": made["token"]}

    run = keyed.run(token=Secret(HUSH))
    ended = keyed.finish(run)
    assert isinstance(ended.output, dict)
    assert ended.output["n"] == len(HUSH)
    assert ended.output["token"].keys() == {MARKER}
    assert set(heard) == {HUSH}
    assert len(heard) == 4 if keyed.hot else len(heard) > 4, "it was replayed after the sleep"
    check(keyed)
    eyes = runtime_of(keyed.app).eyes
    assert seen(eyes, ended).output == {"n": len(HUSH), "token": "[secret]"}
    [step, *_] = keyed.steps(run)
    assert json.loads(eyes.step(step, "app-fn").memo) == {"data": {"token": "[secret]", "plain": 1}}


def test_an_async_function_with_parallel_steps(keyed: Bench) -> None:
    @keyed.function(retries=0)
    async def fn(ctx: inngest.Context) -> Any:
        async def make(number: int) -> Any:
            return Secret(f"{HUSH}{number}")

        one, two = await ctx.group.parallel(
            (lambda: ctx.step.run("one", make, 1), lambda: ctx.step.run("two", make, 2))
        )
        return [told(one) == f"{HUSH}1", told(two) == f"{HUSH}2"]

    assert keyed.output() == [True, True]
    check(keyed)


def test_events_that_steps_send_and_functions_that_they_invoke(keyed: Bench) -> None:
    heard: list[str] = []

    @keyed.function("callee", trigger=inngest.TriggerEvent(event="test/called"), retries=0)
    def callee(ctx: inngest.ContextSync) -> Any:
        heard.append(told(ctx.event.data["token"]))
        return {"back": ctx.event.data["token"]}

    @keyed.function(retries=0)
    def fn(ctx: inngest.ContextSync) -> Any:
        token = ctx.step.run("make", lambda: Secret(HUSH))
        ctx.step.send_event("tell", inngest.Event(name="test/called", data={"token": token}))
        given: Any = ctx.step.invoke("call", function=callee, data={"token": token})
        return told(given["back"]) == HUSH

    run = keyed.run()
    assert keyed.output(run) is True
    assert set(heard) == {HUSH}
    assert len(heard) == 2
    check(keyed)


def test_models(make_bench: MakeBench) -> None:
    bench = make_bench(inngest_secret_key="ab" * 32)
    bench.client.serializer = inngest.PydanticSerializer()

    @bench.function(retries=0)
    def fn(ctx: inngest.ContextSync) -> Any:
        account = ctx.step.run("open", lambda: Account(owner="Ada", token=Secret(HUSH)), output_type=Account)
        ctx.step.sleep("a while", 60_000)
        return [account.owner, told(account.token) == HUSH]

    assert bench.output() == ["Ada", True]
    check(bench)


def test_a_secret_that_an_event_brings_to_a_wait(keyed: Bench) -> None:
    @keyed.function(retries=0)
    def fn(ctx: inngest.ContextSync) -> Any:
        event = ctx.step.wait_for_event("wait", event="test/paid", timeout=60_000)
        assert event is not None
        return told(event.data["token"]) == HUSH

    run = keyed.run()
    keyed.send("test/paid", token=Secret(HUSH))
    assert keyed.output(run) is True
    check(keyed)


def test_without_a_key_the_step_fails_and_says_why(make_bench: MakeBench) -> None:
    bench = make_bench()

    @bench.function(retries=0)
    def fn(ctx: inngest.ContextSync) -> Any:
        return ctx.step.run("make", lambda: Secret(HUSH))

    with pytest.raises(inngest.SecretError, match="inngest_secret_key"):
        bench.client.send_sync(inngest.Event(name="test/go", data={"token": Secret(HUSH)}))
    error = bench.error()
    assert "inngest_secret_key" in error["message"]
    assert HUSH not in bench.dump()
