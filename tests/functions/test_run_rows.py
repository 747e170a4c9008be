"""What Flower is told of a run: that it has begun, and how it has ended, whatever started it and whoever ended it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from celery import Celery

import inngest_celery as inngest
from inngest_celery.worker.runtime import runtime_of
from inngest_celery.worker.step_events import StepEvents
from tests.functions.bench import Bench

pytestmark = pytest.mark.databases("sqlite")


class Heard(StepEvents):
    """Keeps what a worker would send to the broker."""

    def __init__(self) -> None:
        super().__init__("test", wanted=True)
        self.kinds: list[tuple[object, str]] = []

    def send(self, app: Celery, events: Sequence[tuple[str, Mapping[str, object]]]) -> None:
        self.kinds += [(fields["uuid"], kind) for kind, fields in events]

    def of(self, run_id: str) -> list[str]:
        return [kind for uuid, kind in self.kinds if uuid == run_id]


@pytest.fixture
def heard(bench: Bench) -> Heard:
    @bench.function("fn")
    def fn(ctx: inngest.ContextSync) -> str:
        ctx.step.sleep("a day", 86_400_000)
        return str(ctx.event.data["word"])

    heard = Heard()
    assert bench.inline  # makes the runtime anew
    runtime_of(bench.app).step_events = heard
    return heard


def test_a_run_that_an_event_has_started(bench: Bench, heard: Heard) -> None:
    run = bench.run(word="done")
    assert heard.of(run.id) == ["task-received", "task-started"]
    bench.output(run)
    assert heard.of(run.id) == ["task-received", "task-started", "task-succeeded"]


def test_a_run_that_was_called_as_a_task(bench: Bench, heard: Heard) -> None:
    result = bench.app.tasks["app/fn"].apply_async(({"word": "done"},), task_id="chosen")
    bench.advance(days=2)
    [run] = bench.inline.runs.list()
    assert result.id == "chosen"
    assert run.output == "done"
    assert heard.of(run.id) == ["task-received", "task-started", "task-succeeded"]


def test_a_run_that_was_cancelled(bench: Bench, heard: Heard) -> None:
    run = bench.run(word="never")
    bench.inline.runs.cancel(run.id)
    assert heard.of(run.id) == ["task-received", "task-started", "task-revoked"]
