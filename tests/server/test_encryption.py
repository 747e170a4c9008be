"""Apps on the official SDK and its encryption, and our functions with ours: each reads what the other wrote."""

from __future__ import annotations

import secrets
from typing import Any

import inngest as official
import pytest
from inngest_encryption import EncryptionMiddleware as Official

import inngest_celery as inngest
from inngest_celery.encryption import EncryptionMiddleware
from inngest_celery.sdk.memos import StepMemos
from tests.functions.bench import Bench
from tests.server.stage import staged

pytestmark = pytest.mark.databases("sqlite")

WORD = "sesame"
KEYS: list[tuple[str | bytes, dict[str, Any]]] = [
    ("a secret key", {}),
    (secrets.token_hex(32).encode(), {"event_encryption_field": "private"}),
]


@pytest.mark.parametrize(("key", "options"), KEYS, ids=["text", "bytes"])
def test_invoked_either_way(bench: Bench, key: Any, options: Any) -> None:
    field = options.get("event_encryption_field", "encrypted")
    bench.client.add_middleware(EncryptionMiddleware.factory(key, **options))
    seen: dict[str, Any] = {}

    @bench.function("ours", trigger=inngest.TriggerEvent(event="go/ours"))
    async def ours(ctx: inngest.Context) -> Any:
        data: Any = ctx.event.data
        back = await ctx.step.invoke_by_id("call", app_id="theirs", function_id="reverse", data={field: data[field]})
        seen["ours"] = back
        await ctx.step.send_event("tell", inngest.Event(name="go/theirs", data={field: back}))

    @bench.function("upper", trigger=inngest.TriggerEvent(event="go/upper"))
    async def upper(ctx: inngest.Context) -> Any:
        data: Any = ctx.event.data
        return {"loud": data[field]["word"].upper()}

    with staged(bench) as stage:
        client = stage.client("theirs", middleware=[Official.factory(key, **options)])

        @client.create_function(fn_id="reverse", trigger=official.TriggerEvent(event="go/reverse"))
        def reverse(ctx: official.ContextSync) -> Any:
            data: Any = ctx.event.data
            return ctx.step.run("turn", lambda: {"word": data[field]["word"][::-1]})

        @client.create_function(fn_id="theirs", trigger=official.TriggerEvent(event="go/theirs"))
        def theirs(ctx: official.ContextSync) -> None:
            data: Any = ctx.event.data
            seen["theirs"] = ctx.step.invoke_by_id(
                "call", app_id=bench.client.app_id, function_id="upper", data={field: data[field]}
            )

        with stage.app(client, [reverse, theirs]):
            client.send_sync(official.Event(name="go/ours", data={field: {"word": WORD}}))
            stage.drain()
    assert seen == {"ours": {"word": WORD[::-1]}, "theirs": {"loud": WORD[::-1].upper()}}


def test_keys_are_changed_on_one_side_at_a_time() -> None:
    old, new = "old", secrets.token_hex(32).encode()
    sent = [official.Event(name="a/b", data={"encrypted": {"word": WORD}})]
    theirs: Any = Official.factory(old)(official.Inngest(app_id="a"), None)
    theirs.before_send_events(sent)
    assert WORD not in str(sent[0].data)
    reader = EncryptionMiddleware.factory(new, fallback_decryption_keys=[old])
    assert _read_by_us(reader, sent[0].data) == {"encrypted": {"word": WORD}}

    ours = reader(inngest.Inngest(app_id="a"), None)
    events = [inngest.Event(name="a/b", data={"encrypted": {"word": WORD}})]
    ours.before_send_events(events)
    for key, fallbacks in ((new, []), ("third", [new])):
        context: Any = Given(events[0].data)
        Official.factory(key, fallback_decryption_keys=fallbacks)(official.Inngest(app_id="a"), None).transform_input(
            context,
            None,
            StepMemos({}),  # type: ignore[arg-type]
        )
        assert context.event.data == {"encrypted": {"word": WORD}}


def test_data_that_is_encrypted_as_a_whole() -> None:
    key = "a secret key"
    sent = [official.Event(name="a/b", data={"encrypted": {"word": WORD}})]
    Official.factory(key)(official.Inngest(app_id="a"), None).before_send_events(sent)
    sealed: Any = sent[0].data["encrypted"]
    read = _read_by_us(EncryptionMiddleware.factory(key), {**sealed, "_inngest": {"fn_id": "x"}})
    assert read == {"word": WORD, "_inngest": {"fn_id": "x"}}
    assert _read_by_us(EncryptionMiddleware.factory(key), {"other": sealed}) == {"other": {"word": WORD}}


def test_what_somebody_has_changed_is_not_read() -> None:
    ours = EncryptionMiddleware.factory("key")
    events = [inngest.Event(name="a/b", data={"encrypted": WORD})]
    ours(inngest.Inngest(app_id="a"), None).before_send_events(events)
    sealed: Any = events[0].data["encrypted"]
    for data in ("A" * len(sealed["data"]), "no base64!", ""):
        with pytest.raises(inngest.CodedError) as caught:
            _read_by_us(ours, {"encrypted": {**sealed, "data": data}})
        assert caught.value.code == "encryption_key_unknown"


class Given:
    """What middleware looks at of a context."""

    def __init__(self, data: Any) -> None:
        self.event = inngest.Event(name="a/b", data=data)
        self.events = [self.event]


def _read_by_us(factory: Any, data: Any) -> Any:
    context: Any = Given(data)
    factory(inngest.Inngest(app_id="a"), None).transform_input(context, None, StepMemos({}))
    return context.event.data
