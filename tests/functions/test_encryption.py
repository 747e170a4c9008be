"""End-to-end encryption: nothing of it can be read where it is stored, and the code of a function reads all of it."""

from __future__ import annotations

import asyncio
import secrets
from datetime import timedelta
from typing import Any

import pytest

import inngest_celery as inngest
from inngest_celery.encryption import EncryptionMiddleware
from inngest_celery.store.rows import RunStatus
from tests.functions.bench import Bench

pytestmark = pytest.mark.databases("sqlite")

WORD = "sesame"


def everything(bench: Bench, seen: list[Any]) -> None:
    """Define functions that take the word through steps, waits, an invocation, sent events and a failure handler."""

    def on_failure(ctx: inngest.ContextSync) -> None:
        carried: Any = ctx.event.data["event"]
        seen.append(carried["data"]["encrypted"]["word"])

    @bench.function("child", trigger=inngest.TriggerEvent(event="test/child"))
    def child(ctx: inngest.ContextSync) -> Any:
        data: Any = ctx.event.data
        return {"given": data["encrypted"]["word"]}

    @bench.function("fails", trigger=inngest.TriggerEvent(event="test/told"), retries=0, on_failure=on_failure)
    def fails(ctx: inngest.ContextSync) -> None:
        data: Any = ctx.event.data
        seen.append(data["encrypted"]["word"])
        raise ValueError("no")

    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        data: Any = ctx.event.data
        step = await ctx.step.run("step", lambda: {"word": data["encrypted"]["word"]})
        invoked = await ctx.group.parallel(
            tuple(
                lambda name=name: ctx.step.invoke(name, function=child, data={"open": 1, "encrypted": step})
                for name in ("one", "two")
            )
        )
        found = await ctx.step.wait_for_event(
            "wait", event="test/ready", if_exp="async.data.open == 1", timeout=timedelta(1)
        )
        waited: Any = found.data if found else None
        await ctx.step.send_event("tell", inngest.Event(name="test/told", data={"encrypted": step}))
        seen.append([step, *invoked, waited["encrypted"]["word"]])
        return step


@pytest.mark.parametrize("encrypted", [True, False])
def test_nothing_is_stored_that_can_be_read(bench: Bench, encrypted: bool) -> None:
    seen: list[Any] = []
    if encrypted:
        bench.client.add_middleware(EncryptionMiddleware.factory("a secret key"))
    everything(bench, seen)

    def send(name: str) -> None:
        event = inngest.Event(name=name, data={"open": 1, "encrypted": {"word": WORD}})
        asyncio.run(bench.client.send(event))
        bench.inline.drain()
        assert event.data == {"open": 1, "encrypted": {"word": WORD}}, "it is the caller's"

    assert bench.inline is not None
    send("test/go")
    stored = bench.dump()
    send("test/ready")
    stored += bench.dump()
    assert [word for word in seen if isinstance(word, str)] == [WORD, WORD]
    rest = [each for each in seen if isinstance(each, list)]
    assert rest
    assert all(each == [{"word": WORD}, {"given": WORD}, {"given": WORD}, WORD] for each in rest)
    assert (WORD in stored) is not encrypted, "what is not encrypted shows that the search finds it"


def test_a_key_is_changed(bench: Bench) -> None:
    new = secrets.token_hex(32).encode()
    seen: list[Any] = []
    keys: dict[str, Any] = {"secret_key": "old"}
    bench.client.add_middleware(lambda client, request: EncryptionMiddleware(client, request, **keys))

    @bench.function(retries=0)
    async def fn(ctx: inngest.Context) -> Any:
        step = await ctx.step.run("step", lambda: WORD)
        await ctx.step.sleep("nap", 1000)
        seen.append(step)
        return step

    first, second = bench.run(), bench.run()
    keys.update(secret_key=new, fallback_decryption_keys=["old"])
    bench.advance(seconds=1)
    assert (bench.get(first).status, bench.get(second).status) == (RunStatus.COMPLETED, RunStatus.COMPLETED)
    third = bench.run()
    keys.update(secret_key="another", fallback_decryption_keys=[])
    error = bench.error(third)
    assert error["code"] == "encryption_key_unknown"
    assert "fallback_decryption_keys" in error["message"]
    assert WORD not in bench.dump()
    assert seen == [WORD, WORD]


def test_decrypt_only_reads_and_encrypts_nothing(bench: Bench) -> None:
    options: dict[str, Any] = {}
    bench.client.add_middleware(lambda client, request: EncryptionMiddleware(client, request, "key", **options))

    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        step = await ctx.step.run("step", lambda: WORD)
        await ctx.step.sleep("nap", 1000)
        return step

    run = bench.run()
    options["decrypt_only"] = True
    assert bench.output(run) == WORD


def test_models_are_serialized_before_they_are_encrypted(bench: Bench) -> None:
    bench.client.serializer = inngest.PydanticSerializer()
    bench.client.add_middleware(EncryptionMiddleware.factory("key"))

    @bench.function(output_type=timedelta)
    async def fn(ctx: inngest.Context) -> timedelta:
        return await ctx.step.run("step", lambda: timedelta(hours=1), output_type=timedelta)

    assert bench.output()["__ENCRYPTED__"] is True


def test_what_is_no_json_is_refused_as_without_it(bench: Bench) -> None:
    bench.client.add_middleware(EncryptionMiddleware.factory("key"))

    @bench.function(retries=0)
    async def fn(ctx: inngest.Context) -> Any:
        return await ctx.step.run("step", lambda: {1, 2})

    assert "a set at $" in bench.error()["message"]
    with pytest.raises(inngest.EventInvalidError, match=r"events\[0\].*the number nan"):
        bench.client.send_sync(inngest.Event(name="test/go", data={"encrypted": float("nan")}))


@pytest.mark.parametrize("key", ["", b"", b"raw bytes of another length", b"z" * 64, None, 7])
def test_a_key_that_cannot_be_used(key: Any) -> None:
    for keys in ({"secret_key": key}, {"secret_key": "good", "fallback_decryption_keys": [key]}):
        with pytest.raises(inngest.CodedError, match="64 hexadecimal digits") as caught:
            EncryptionMiddleware.factory(**keys)
        assert caught.value.code == "encryption_key_invalid"
        assert "raw bytes" not in str(caught.value)
