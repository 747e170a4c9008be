"""What the guide from canvas shows, side by side: the canvas in Celery's eager mode, the function in ``Inline``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from celery import _state
from celery.exceptions import Ignore
from celery.signals import task_success

import inngest_celery as inngest
from inngest_celery.testing import Inline
from tests.docs.blocks import sections

SECTIONS = sections("from-canvas.md")
SETUP = SECTIONS.pop("")


@pytest.fixture(autouse=True)
def shares_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Celery gives the tasks of one app to all that are made later in the process: those of the guide stay here."""
    monkeypatch.setattr(_state, "_on_app_finalizers", set(_state._on_app_finalizers))


@dataclass
class Pair:
    """Both sides of a section: what the names of its blocks stand for."""

    canvas: dict[str, Any]
    durable: dict[str, Any]
    inline: Inline

    def output(self, event: str, data: dict[str, Any], **later: float) -> object:
        """Send an event that starts one run, let time pass, and give the run's output."""
        [run, *_] = self.inline.send(inngest.Event(name=event, data=data))
        if later:
            self.inline.advance(timedelta(**later))
        return self.inline.runs.get(run.id).output


def a_chain(pair: Pair) -> None:
    assert pair.canvas["fulfil"](7).get() == pair.output("order/placed", {"order": 7}) == "parcel-7"


def a_chord(pair: Pair) -> None:
    expected = "cat@100 cat@200 cat@400"
    assert pair.canvas["make_sizes"]("cat").get() == pair.output("image/uploaded", {"image": "cat"}) == expected


def chunks(pair: Pair) -> None:
    pairs = [[1, 2], [3, 4], [5, 6]]
    [*results] = pair.canvas["add_all"](pairs).get()
    assert results == pair.output("sums/wanted", {"pairs": pairs}) == [[3, 7], [11]]


def eta(pair: Pair) -> None:
    signed_up = {"email": "ada"}
    assert pair.output("user/signed.up", signed_up) is None
    assert pair.output("user/signed.up", signed_up, days=2) is None
    assert pair.output("user/signed.up", signed_up, days=4) == pair.canvas["remind_later"]("ada").get()
    [run] = pair.inline.send(inngest.Event(name="user/signed.up", data=signed_up))
    pair.inline.send(inngest.Event(name="user/activated", data=signed_up))
    assert pair.inline.runs.get(run.id).status.name == "CANCELLED"


def retries(pair: Pair) -> None:
    attempts = pair.durable["attempts"]
    assert pair.canvas["crawl"]("page").get() == "fetched"
    assert len(attempts) == 3
    attempts.clear()
    assert pair.output("page/found", {"url": "page"}, minutes=1, seconds=30) is None
    assert len(attempts) == 2
    pair.inline.advance(timedelta(minutes=1))
    assert len(attempts) == 3
    attempts.clear()
    error: Any = pair.output("page/found", {"url": "gone"})
    assert (error["message"], len(attempts)) == ("404: it will not come back", 1)


def beat(pair: Pair) -> None:
    entry = pair.canvas["app"].conf.beat_schedule["close-books"]
    assert pair.canvas["app"].tasks[entry["task"]].delay().get() == "closed"
    pair.inline.advance(timedelta(weeks=1))
    assert [run.output for run in pair.inline.runs.list()] == ["closed"] * 5


def time_limits(pair: Pair) -> None:
    assert pair.canvas["convert"]("cats").get() == pair.output("film/uploaded", {"film": "cats"}) == "cats.mp4"


def rate_limits(pair: Pair) -> None:
    assert pair.canvas["reorder"](7).get() == pair.output("stock/low", {"order": 7, "vendor": "n"}) == "ordered 7"


def late_acknowledgement(pair: Pair) -> None:
    assert pair.canvas["settle_invoice"](7).get() == pair.output("invoice/due", {"invoice": 7}) == "7 settled"


def error_callbacks(pair: Pair) -> None:
    undone = pair.durable["undone"]
    result = pair.canvas["buy"](7)
    assert (result.state, undone) == ("FAILURE", ["7 is sold out"])
    undone.clear()
    pair.output("order/placed", {"order": 7})
    # Where the step is, and once more for support.
    assert undone == ["7 is sold out"] * 2


def replace(pair: Pair) -> None:
    ended: list[object] = []

    def note(result: object, **_: object) -> None:
        ended.append(result)

    task_success.connect(note)
    for kilos, expected in ((11, "7 by ship"), (1, "7 by air")):
        # Eager tasks may not wait for one another, not even for what replaces them: this one is called outside of one.
        with pytest.raises(Ignore):
            pair.canvas["deliver"](7, kilos)
        assert ended[-1] == expected
        assert pair.output("order/packed", {"order": 7, "kilos": kilos}) == expected


def polling(pair: Pair) -> None:
    polls = pair.durable["polls"]
    assert pair.canvas["await_export"].delay("job").get() == "exported"
    assert len(polls) == 3
    polls.clear()
    assert pair.output("export/started", {"job": "job"}, seconds=45) is None
    assert len(polls) == 2
    pair.inline.advance(timedelta(seconds=30))
    assert len(polls) == 3


def as_one_step(pair: Pair) -> None:
    expected = "mailed: payment of 5, archived"
    assert pair.canvas["bill"](5).get() == pair.output("order/packed", {"amount": 5}) == expected


CHECKS: dict[str, Callable[[Pair], None]] = {
    "A chain": a_chain,
    "A group and a chord": a_chord,
    "Chunks and starmap": chunks,
    "ETA and countdown": eta,
    "Retries": retries,
    "Beat": beat,
    "Time limits": time_limits,
    "Rate limits": rate_limits,
    "Late acknowledgement": late_acknowledgement,
    "Error callbacks": error_callbacks,
    "Replace": replace,
    "Polling": polling,
    "A task or canvas as one step": as_one_step,
}


def test_no_section_is_left_out() -> None:
    assert CHECKS.keys() == SECTIONS.keys()


@pytest.mark.parametrize("heading", CHECKS)
def test_both_sides_do_the_same(heading: str) -> None:
    canvas, durable = SECTIONS[heading]
    names: dict[str, Any] = {"__name__": "proj.tasks"}
    for block in (*SETUP, canvas):
        exec(compile(block, f"from-canvas.md, {heading}", "exec"), names)  # noqa: S102
    names["app"].conf.task_always_eager = True
    shown = dict(names)
    exec(compile(durable, f"from-canvas.md, {heading}", "exec"), names)  # noqa: S102
    inline = Inline(names["app"])
    CHECKS[heading](Pair(shown, names, inline))
    inline.close()
