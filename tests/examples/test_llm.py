"""The model's pipeline: each way through it without a worker, and budget, limits and progress with one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

import inngest_celery as inngest
from examples.llm import app, articles
from examples.llm.model import Model, running
from inngest_celery.testing import Inline
from tests.examples.demos import play

REQUESTED = inngest.Event(name="article/requested", data={"id": "a1", "team": "red", "topic": "bees"})


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[Model]:
    model = Model()
    with running(model) as base_url:
        monkeypatch.setenv("OPENAI_BASE_URL", base_url)
        yield model


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the browser would hear: there is no Redis here."""
    states: list[str] = []

    async def tell(_: str, state: str) -> None:
        states.append(state)

    monkeypatch.setattr(articles, "tell", tell)
    return states


@pytest.fixture
def inline() -> Iterator[Inline]:
    inline = Inline(app)
    yield inline
    inline.close()


def reviewed(article: str, *, approved: bool) -> inngest.Event:
    return inngest.Event(name="article/reviewed", data={"id": article, "approved": approved, "why": "dull"})


def test_what_is_approved_is_published(inline: Inline, model: Model, told: list[str]) -> None:
    [run] = inline.send(REQUESTED)
    assert told == ["outlined", "drafted"]
    inline.send(reviewed("another", approved=False))
    inline.send(reviewed("a1", approved=True))
    assert str(inline.runs.get(run.id).output).startswith("https://news.example/a1: ")
    assert told == ["outlined", "drafted", "published"]
    assert model.answered.total() == 2


@pytest.mark.parametrize(("answers", "output"), [(True, "turned down: dull"), (False, "nobody has read it")])
def test_what_is_not_approved_is_not(inline: Inline, model: Model, told: list[str], answers: bool, output: str) -> None:
    [run] = inline.send(REQUESTED)
    if answers:
        inline.send(reviewed("a1", approved=False))
    inline.advance(timedelta(days=2))
    assert inline.runs.get(run.id).output == output
    assert "published" not in told


def test_a_busy_model_is_asked_again_and_no_sooner(inline: Inline, model: Model, told: list[str]) -> None:
    model.busy, model.pause = 1, 60
    inline.send(REQUESTED)
    inline.advance(timedelta(seconds=59))
    assert (model.refused, model.answered.total()) == (1, 0)
    inline.advance(timedelta(seconds=1))
    assert model.answered.total() == 2


@pytest.mark.timeout(180)
def test_a_team_that_has_spent_its_tokens_waits_for_the_next_hour() -> None:
    out = play("examples.llm")
    assert "team red has spent 500 of 500 tokens" in out
    assert "0 requests before their Retry-After; blue-1 was seen to be: outlined, drafted, published" in out
