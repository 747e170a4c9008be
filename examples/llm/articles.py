"""From a topic to an article: the model writes an outline and a draft, a human approves."""

from __future__ import annotations

import os
from datetime import timedelta
from functools import cache
from typing import Any, TypeAlias

import httpx

import inngest_celery as inngest
from examples.llm.app import client
from inngest_celery.experimental import realtime
from inngest_celery.experimental.ai import openai

Answer: TypeAlias = dict[str, Any]
MODEL = "gpt-5-mini"
BUDGET = 500
_TIMEOUT_SECONDS = 120


def tokens(answer: Answer) -> int:
    """Give what an answer has cost, as the provider counts it."""
    return int(answer["usage"]["total_tokens"])


async def complete(prompt: str) -> Answer:
    """Ask the model by a client of one's own; ``step.ai.infer`` does the same.

    Raises:
        RetryAfterError: the provider is busy, and says until when. It is not asked before that.
        httpx.HTTPError: it went wrong, and is tried again by the table of retries.
    """
    response = await _http().post(
        f"{_base_url()}/chat/completions",
        headers={"authorization": f"Bearer {_api_key()}"},
        json={"model": MODEL, "messages": [{"role": "user", "content": prompt}]},
    )
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        pause = timedelta(seconds=int(response.headers["retry-after"]))
        raise inngest.RetryAfterError("the model is busy", pause)
    answer: Answer = response.raise_for_status().json()
    return answer


async def tell(article: str, state: str) -> None:
    """Tell whoever has the article open in a browser how it stands."""
    await realtime.publish(client, f"article:{article}", "progress", {"state": state})


async def publish(article: str, text: str) -> str:
    """Put the article where readers find it."""
    return f"https://news.example/{article}: {text}"


@client.create_function(
    fn_id="write-article",
    trigger=inngest.TriggerEvent(event="article/requested"),
    # The provider's limit on requests: articles start at this pace, the others wait.
    throttle=inngest.Throttle(limit=10, period=timedelta(seconds=1), burst=2),
    # A team's tokens in an hour. Who has none left waits until the window has moved on; mode="stop" would end the run.
    budget=inngest.Budget(limit=BUDGET, period=timedelta(hours=1), key="event.data.team"),
    # A budget is overdrawn by what is under way when it ends: so much at a time, and no more.
    concurrency=[inngest.Concurrency(limit=1, key="event.data.team")],
)
async def write_article(ctx: inngest.Context) -> str:
    """Give the article's address, or why there is none."""
    article, topic = str(ctx.event.data["id"]), str(ctx.event.data["topic"])
    outline = await ctx.step.ai.infer(
        "outline",
        adapter=openai.Adapter(auth_key=_api_key(), base_url=_base_url(), model=MODEL),
        body={"messages": [{"role": "user", "content": f"Outline an article about {topic}."}]},
        cost=tokens,
    )
    await ctx.step.run("tell: outlined", tell, article, "outlined")
    draft = await ctx.step.run("draft", complete, f"Write this out: {_text(outline)}", cost=tokens)
    await ctx.step.run("tell: drafted", tell, article, "drafted")
    review = await ctx.step.wait_for_event(
        "review",
        event="article/reviewed",
        if_exp="event.data.id == async.data.id",
        timeout=timedelta(days=2),
    )
    if review is None:
        return "nobody has read it"
    if not review.data["approved"]:
        return f"turned down: {review.data['why']}"
    address = await ctx.step.run("publish", publish, article, _text(draft))
    await ctx.step.run("tell: published", tell, article, "published")
    return address


def _text(answer: Answer) -> str:
    return str(answer["choices"][0]["message"]["content"])


@cache
def _http() -> httpx.AsyncClient:
    """Give the process's client: the worker's event loop lives as long as its process, and so may what uses it."""
    return httpx.AsyncClient(timeout=_TIMEOUT_SECONDS)


def _base_url() -> str:
    return os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8104/v1")


def _api_key() -> str:
    return os.environ.get("OPENAI_API_KEY", "none")
