"""What a step has asked a model is kept with its result, and is seen by whoever may see it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy.event import listen

import inngest_celery as inngest
from inngest_celery.encryption import EncryptionMiddleware
from inngest_celery.engine.limits import STEP_BYTES
from inngest_celery.experimental.ai import gemini, openai
from inngest_celery.store import redacting
from inngest_celery.worker import report_text, run_report
from inngest_celery.worker.runs import RunInfo
from inngest_celery.worker.runtime import runtime_of
from tests.functions.bench import Bench
from tests.functions.conftest import MakeBench
from tests.sdk import event_server
from tests.sdk.event_server import EventServer

pytestmark = pytest.mark.databases("sqlite")

KEY, WORD, EMAIL = "sk-planted-key", "planted-word", "ada.l@example.org"
ANSWER = (200, '{"model": "m-2", "usage": {"tokens": 3}, "choices": []}')


@pytest.fixture
def provider() -> Iterator[EventServer]:
    with event_server.running() as server:
        server.answers = [ANSWER]
        yield server


def ask(bench: Bench, provider: EventServer, content: Callable[[Any], Any] = lambda data: data["say"]) -> None:
    @bench.function(retries=2)
    async def fn(ctx: inngest.Context) -> None:
        adapter = openai.Adapter(auth_key=KEY, base_url=provider.url, model="m", headers={"x-planted": KEY})
        said = [{"role": "user", "content": content(ctx.event.data)}]
        await ctx.step.ai.infer("ask", adapter=adapter, body={"messages": said, "temperature": 0.2})


def models(bench: Bench, run: RunInfo, role: str = "viewer") -> list[dict[str, Any]]:
    runtime = runtime_of(bench.app)
    found: list[dict[str, Any]] = run_report.report(runtime, run.id, runtime.eyes_of[role])["models"]
    return found


def test_a_prompt_is_kept_with_the_result_and_with_each_attempt_but_no_key(bench: Bench, provider: EventServer) -> None:
    provider.answers = [(529, "busy"), ANSWER]
    ask(bench, provider)
    run = bench.finish(bench.run(say=WORD))
    failed, asked = models(bench, run)
    assert asked["prompt"] == {"messages": [{"role": "user", "content": WORD}]}
    assert asked["parameters"] == {"temperature": 0.2}
    assert (asked["format"], asked["provider"], asked["asked_model"]) == ("openai-chat", "127.0.0.1", "m")
    assert (asked["model"], asked["usage"], asked["attempt"]) == ("m-2", {"tokens": 3}, 2)
    assert (failed["prompt"], failed["attempt"], failed["answer"]) == (asked["prompt"], 1, None)
    assert "busy" in failed["error"]["message"]
    [error] = run_report.report(runtime_of(bench.app), run.id)["errors"]
    assert "asked" not in error["error"]
    assert KEY not in bench.dump()
    assert WORD in "\n".join(report_text.as_markdown(run_report.report(runtime_of(bench.app), run.id)))


def test_a_step_that_fails_for_good_has_its_prompt(bench: Bench, provider: EventServer) -> None:
    provider.answers = [(400, "no")]
    ask(bench, provider)
    run = bench.finish(bench.run(say=WORD))
    assert [(each["attempt"], WORD in str(each["prompt"])) for each in models(bench, run)] == [
        (1, True),
        (2, True),
        (3, True),
    ]


def test_the_model_may_stand_in_the_address(bench: Bench, provider: EventServer) -> None:
    @bench.function()
    def fn(ctx: inngest.ContextSync) -> None:
        adapter = gemini.Adapter(auth_key=KEY, base_url=provider.url, model="gem")
        ctx.step.ai.infer("ask", adapter=adapter, body={"contents": [WORD], "generationConfig": {"topK": 1}})

    [asked] = models(bench, bench.finish(bench.run()))
    assert (asked["asked_model"], asked["prompt"]) == ("gem", {"contents": [WORD]})
    assert asked["parameters"]["generationConfig"] == {"topK": 1}
    assert KEY not in bench.dump()


def test_rules_hold_for_prompts(make_bench: MakeBench, provider: EventServer) -> None:
    bench = make_bench(
        inngest_masking=[
            {"pattern": "email", "at": "store"},
            {"path": "prompt.messages[*].role", "reveal": "operator"},
            {"path": "event.data.say", "reveal": "admin"},
        ]
    )
    ask(bench, provider, lambda data: f"{data['say']} {EMAIL}")
    provider.answers = [(529, "busy"), ANSWER]
    run = bench.finish(bench.run(say=WORD))
    # The model gets what the function says; what is stored is not all of it.
    assert provider.requests[0].body["messages"][0]["content"] == f"{WORD} {EMAIL}"
    assert EMAIL not in bench.dump()
    for failed_or_not in models(bench, run, "operator"):
        # It may be anywhere in a prompt what the event has.
        assert failed_or_not["prompt"] == "[masked]"
    for failed_or_not in models(bench, run, "admin"):
        assert failed_or_not["prompt"] == {"messages": [{"role": "user", "content": f"{WORD} [masked]"}]}
    bench.app.conf.inngest_masking = bench.app.conf.inngest_masking[:2]
    runtime_of(bench.app).renew()
    assert {each["prompt"]["messages"][0]["role"] for each in models(bench, run)} == {"[masked]"}
    assert {each["prompt"]["messages"][0]["role"] for each in models(bench, run, "operator")} == {"user"}


def test_a_secret_goes_to_the_model_and_is_seen_by_nobody(make_bench: MakeBench, provider: EventServer) -> None:
    bench = make_bench(inngest_secret_key="ab" * 32)
    ask(bench, provider, lambda data: inngest.Secret(WORD))
    provider.answers = [(529, "busy"), ANSWER]
    run = bench.finish(bench.run())
    assert [each.body["messages"][0]["content"] for each in provider.requests] == [WORD, WORD]
    assert WORD not in bench.dump()
    for each in models(bench, run, "admin"):
        assert each["prompt"]["messages"][0]["content"] == "[secret]"


def test_a_secret_without_a_key_is_not_asked_with(bench: Bench, provider: EventServer) -> None:
    ask(bench, provider, lambda data: inngest.Secret(WORD))
    assert "inngest_secret_key" in bench.error()["message"]
    assert provider.requests == []


def test_what_the_app_encrypts_is_not_kept_as_it_is(bench: Bench, provider: EventServer) -> None:
    ask(bench, provider, lambda data: data["encrypted"]["say"])
    bench.client.middleware.append(EncryptionMiddleware.factory(secrets.token_hex(16)))
    run = bench.send("test/go", encrypted={"say": WORD})[0]
    [asked] = models(bench, bench.finish(run))
    assert (asked["asked_model"], asked["prompt"], asked["prompt_kept"]) == ("m", None, False)
    assert WORD in str(provider.requests[0].body)
    assert WORD not in str(bench.steps(run))


def test_a_prompt_that_is_too_large_is_known_by_its_hash(bench: Bench, provider: EventServer) -> None:
    ask(bench, provider, lambda data: "x" * STEP_BYTES)
    run = bench.finish(bench.run())
    [asked] = models(bench, run)
    assert (asked["prompt"], asked["prompt_kept"], asked["answer"]["model"]) == (None, False, "m-2")
    assert asked["prompt_bytes"] > STEP_BYTES
    assert len(asked["prompt_sha256"]) == 64
    assert len(bench.dump()) < STEP_BYTES


def test_a_prompt_goes_when_a_run_is_redacted_and_is_sealed_at_rest(
    make_bench: MakeBench, provider: EventServer
) -> None:
    bench = make_bench(inngest_encryption_keys=["k:" + "A" * 43 + "="])
    ask(bench, provider, lambda data: WORD)
    provider.answers = [(529, "busy"), ANSWER]
    run = bench.finish(bench.run())
    assert [WORD in json.dumps(each) for each in models(bench, run)] == [True, True]
    raw = bench.database.engine.raw_connection()
    try:
        rows = raw.cursor().execute("SELECT waited FROM inngest_step UNION ALL SELECT error FROM inngest_attempt")
        assert [WORD in str(row) for row in rows.fetchall()] == [False, False]
    finally:
        raw.close()
    assert WORD in bench.dump()
    with bench.database.transaction() as connection:
        redacting.runs(connection, [run.id])
    assert WORD not in bench.dump()
    assert len(models(bench, run)) == 1


def test_a_prompt_costs_no_statement(bench: Bench, provider: EventServer) -> None:
    ask(bench, provider)

    @bench.function("plain", trigger=inngest.TriggerEvent(event="test/plain"))
    def plain(ctx: inngest.ContextSync) -> None:
        ctx.step.run("ask", lambda: 1)

    assert bench.inline
    statements: list[str] = []
    listen(bench.database.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    counts = []
    for name in ("test/plain", "test/plain", "test/go"):
        statements.clear()
        [run] = bench.send(name, say=WORD)
        counts.append(len(statements))
        assert bench.get(run).ended
    assert counts[1] == counts[2]
