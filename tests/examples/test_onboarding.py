"""Onboarding: each way through the function without a worker, and the whole with one that is killed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from email.message import Message

import pytest

import inngest_celery as inngest
from examples.onboarding import app
from examples.onboarding.mailserver import Mailbox, running
from inngest_celery.store.rows import RunStatus
from inngest_celery.testing import Inline
from tests.examples.demos import play

ADA = {"email": "ada@mail.example", "name": "Ada"}
SIGNED_UP = inngest.Event(name="user/signed.up", data=ADA)


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    mailbox = Mailbox()
    with running(mailbox) as smtp_url:
        monkeypatch.setenv("SMTP_URL", smtp_url)
        yield mailbox


@pytest.fixture
def inline() -> Iterator[Inline]:
    app.loader.import_default_modules()
    inline = Inline(app)
    yield inline
    inline.close()


def subjects(letters: list[Message]) -> list[str]:
    return [str(letter["Subject"]) for letter in letters]


def test_who_activates_gets_no_reminder(inline: Inline, mailbox: Mailbox) -> None:
    [run] = inline.send(SIGNED_UP)
    inline.send(inngest.Event(name="user/activated", data=ADA))
    inline.advance(timedelta(days=4))
    assert inline.runs.get(run.id).output == "active"
    assert subjects(mailbox.letters) == ["Welcome"]


def test_who_does_not_is_reminded_after_three_days(inline: Inline, mailbox: Mailbox) -> None:
    [run] = inline.send(SIGNED_UP)
    inline.advance(timedelta(days=2, hours=23))
    assert subjects(mailbox.letters) == ["Welcome"]
    inline.advance(timedelta(hours=1))
    assert inline.runs.get(run.id).output == "reminded"
    assert subjects(mailbox.letters) == ["Welcome", "Still there?"]
    assert len({letter["Message-ID"] for letter in mailbox.letters}) == 2


def test_who_unsubscribes_hears_no_more(inline: Inline, mailbox: Mailbox) -> None:
    [run] = inline.send(SIGNED_UP)
    inline.send(inngest.Event(name="user/unsubscribed", data=ADA))
    inline.advance(timedelta(days=4))
    assert inline.runs.get(run.id).status is RunStatus.CANCELLED
    assert subjects(mailbox.letters) == ["Welcome"]


def test_a_form_that_is_sent_twice_starts_one_run(inline: Inline, mailbox: Mailbox) -> None:
    inline.send(SIGNED_UP)
    assert inline.send(SIGNED_UP) == []
    assert subjects(mailbox.letters) == ["Welcome"]


def test_an_address_that_does_not_exist_is_asked_once(inline: Inline, mailbox: Mailbox) -> None:
    [run] = inline.send(inngest.Event(name="user/signed.up", data={"email": "nobody@mail.example", "name": "Eve"}))
    assert inline.runs.get(run.id).output == "cannot be reached: 550 5.1.1 no such user"


@pytest.mark.timeout(180)
def test_a_worker_killed_while_it_sends_shows_nobody_a_letter_twice() -> None:
    told = play("examples.onboarding")
    assert "SIGKILL for worker-1 between the sending and the recording" in told
    assert "│ dan    │ reminded" in told
    assert "handed over twice" in told
