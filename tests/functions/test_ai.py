"""``step.ai.infer``: the worker asks a model's provider, once, and tries again like any step."""

from __future__ import annotations

from typing import Any

import pytest

import inngest_celery as inngest
from inngest_celery.experimental.ai import BaseAdapter, anthropic, gemini, openai
from tests.functions.bench import Bench
from tests.sdk import event_server
from tests.sdk.event_server import EventServer

pytestmark = pytest.mark.databases("sqlite")


def adapters(url: str) -> dict[str, BaseAdapter]:
    return {
        "authorization": openai.Adapter(auth_key="secret", base_url=url, model="m"),
        "x-api-key": anthropic.Adapter(auth_key="secret", base_url=url, model="m"),
        "": gemini.Adapter(auth_key="secret", base_url=url, model="m"),
    }


def ask(bench: Bench, server: EventServer, header: str) -> None:
    @bench.function(retries=1)
    async def fn(ctx: inngest.Context) -> Any:
        adapter = adapters(server.url)[header]
        return await ctx.step.ai.infer("ask", adapter=adapter, body={"messages": [], "max_tokens": 5})


@pytest.mark.parametrize("header", adapters(""))
def test_the_answer_is_the_steps_result(bench: Bench, header: str) -> None:
    with event_server.running() as server:
        server.answers = [(200, '{"choices": ["yes"]}')]
        ask(bench, server, header)
        run = bench.run()
        assert bench.output(run) == {"choices": ["yes"]}
    [request] = server.requests
    assert request.body["max_tokens"] == 5
    assert "secret" in (request.headers[header] if header else request.path)


def test_a_provider_that_fails_is_asked_again(bench: Bench) -> None:
    with event_server.running() as server:
        server.answers = [(529, "busy"), (200, '{"choices": []}')]
        ask(bench, server, "authorization")
        assert bench.output() == {"choices": []}
    assert len(server.requests) == 2


def test_a_provider_that_says_when_is_not_asked_before_that(bench: Bench) -> None:
    with event_server.running() as server:
        server.answers = [(429, "slow down"), (200, '{"choices": []}')]
        server.headers = {"retry-after": "120"}
        ask(bench, server, "authorization")
        run = bench.run()
        bench.advance(seconds=115)
        assert len(server.requests) == 1
        bench.advance(seconds=5)
        assert bench.output(run) == {"choices": []}


@pytest.mark.parametrize("answer", [(400, "no such model"), (200, "not JSON"), None])
def test_a_provider_that_never_answers_well_fails_the_run(bench: Bench, answer: tuple[int, str] | None) -> None:
    with event_server.running() as server:
        server.answers = [answer]
        ask(bench, server, "authorization")
        error = bench.error()
    assert "127.0.0.1" in error["message"]
    assert len(server.requests) == 2
    assert "secret" not in str(error)
