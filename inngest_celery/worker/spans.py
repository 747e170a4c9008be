"""The spans of runs, for processes that use OpenTelemetry: run → step → attempt.

An attempt is a span like any other: whatever its body does is inside of it. The spans of steps and runs last longer
than any process may live. They are made when they have ended, by whoever records that, with ids that were known
before (:mod:`inngest_celery.trace_context`).

A process uses OpenTelemetry if it has loaded it and set a ``TracerProvider`` of its SDK. In all others nothing of this
is loaded or done, but that what an event's sender said of its trace is passed on.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from inngest_celery import trace_context
from inngest_celery.engine.lifecycle import INVOKED
from inngest_celery.store import events, runs
from inngest_celery.store.changes import Changes
from inngest_celery.store.database import Database
from inngest_celery.store.rows import Event, Job, JobKind, Run, RunStatus, Step
from inngest_celery.trace_context import Trace

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from inngest_celery.engine.report import Failure

T = TypeVar("T")
# Makes a span the current one of the context that it is called in.
Enter = Callable[[], object]


def tracer() -> Tracer | None:
    """Give what makes spans, if this process wants any."""
    if "opentelemetry.sdk.trace" not in sys.modules:
        return None
    from inngest_celery.worker import otel

    return otel.tracer()


@contextmanager
def inside(headers: Mapping[str, str]) -> Iterator[None]:
    """Be where a message's headers say, so that what instruments Celery has its spans in the run's trace."""
    trace = trace_context.read(headers) if "opentelemetry.sdk.trace" in sys.modules else None
    if trace is None:
        yield
        return
    from inngest_celery.worker import otel

    with otel.within(trace):
        yield


def tell_cancelled(database: Database, run_id: str) -> None:
    """Make the span of a run that was cancelled, if this process makes any."""
    if tracer() is None:
        return
    with database.autocommit() as connection:
        run = runs.get(connection, run_id)
        event = events.get(connection, run.event_id) if run is not None else None
    if run is not None and event is not None and run.ended_at is not None and run.status == RunStatus.CANCELLED:
        RunSpans(run, event).cancelled(run.ended_at)


class RunSpans:
    """The spans of one run, as far as this worker makes them.

    Args:
        run: the run.
        event: what started it.
    """

    def __init__(self, run: Run, event: Event) -> None:
        self._run, self._event = run, event
        self._sent = trace_context.of_event(event.extra)
        self._tracer = tracer()
        # The span of the Celery task, where something else makes those.
        self._task: Trace | None = None
        # Without either there is nothing to pass on.
        self._trace: Trace | None = None
        if self._tracer is not None or self._sent is not None:
            self._trace = trace_context.of_run(run.id, self._sent)
        if self._tracer is not None and self._sent is None:
            from inngest_celery.worker import otel

            assert self._trace is not None
            self._trace = otel.sampled(self._tracer, self._trace, self._name)

    @property
    def _name(self) -> str:
        return f"run {self._run.function_id}"

    @property
    def _said(self) -> dict[str, str | int]:
        return {"inngest.run.id": self._run.id, "inngest.function.id": self._run.function_id}

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Be inside of the run: the function's own code is, and what is sent for it."""
        if self._tracer is None or self._trace is None:
            yield
            return
        from inngest_celery.worker import otel

        self._task = trace_context.current()
        with otel.within(self._trace):
            yield

    @property
    def outgoing(self) -> Trace | None:
        """Where a call that is made now is made from."""
        return trace_context.current() if self._tracer is not None else self._trace

    def headers_of(self, key: str) -> dict[str, str]:
        """Give what a message says of the trace that belongs to a step."""
        return {} if self._trace is None else self._trace.at("step", self._run.id, key).headers

    def mark(self, events: Sequence[Event]) -> None:
        """Note with events that they are sent by this run."""
        if self._trace is not None:
            for event in events:
                event.extra = trace_context.kept_with(event.extra, self._place_of(event, self._trace))

    def _place_of(self, event: Event, trace: Trace) -> Trace:
        """Give where an event is sent from: the run, or the step that is the call of another function."""
        if event.name != INVOKED:
            return trace
        caller = json.loads(event.data)["_inngest"]["correlation_id"]
        return trace.at("step", self._run.id, str(caller).partition(".")[2])

    def attempt(
        self,
        key: str,
        name: str,
        number: int,
        body: Callable[[Enter | None], T],
        failed: Callable[[T], tuple[Failure | None, BaseException | None]],
        *,
        calls: bool = False,
    ) -> T:
        """Do something as an attempt.

        Args:
            key: the step, if it is known: else it is the function's own attempt.
            name: of the step, or of the function.
            number: zero-based.
            body: does it. What it gets makes the span current in another context than this one.
            failed: says what it has failed with, for people and as it was raised.
            calls: whether it is the call of an app.
        """
        if self._tracer is None or self._trace is None:
            return body(None)
        from inngest_celery.worker import otel

        parent = self._trace.at("step", self._run.id, key) if key else self._trace
        task = trace_context.current()
        if task is None or task.span_id == self._trace.span_id:
            task = self._task
        said = {**self._said, "inngest.attempt": number, **({"inngest.step.name": name} if key else {})}
        return otel.attempt(self._tracer, parent, f"attempt {name}", said, body, failed, task, calls=calls)

    def cancelled(self, at: int) -> None:
        """Make the span of the run, which was cancelled at a time in milliseconds."""
        if self._tracer is not None:
            self._make_run(RunStatus.CANCELLED, at, ())

    def resumed(self, job: Job, memo: str | None) -> None:
        """Make the span of a wait that is over, whose job goes on with the run.

        Args:
            memo: what is on record of the job's step; ``None`` if it is the function that is tried again.
        """
        # One that was tried before is no wait's: it goes on after a step that was told of when it was recorded.
        over = job.kind is JobKind.RESUME and job.attempt == 0 and memo is not None
        if self._tracer is not None and over and memo is not None:
            failed = memo.startswith('{"error":')
            self._make_step(job.key, job.name, "", job.created_at, job.due_at, failed=failed)

    def recorded(self, changes: Changes, batch: Sequence[Event]) -> None:
        """Make the spans of what has ended, once that is on record."""
        if self._tracer is None or self._trace is None:
            return
        for step in changes.steps:
            self._make_step_of(step, changes.job)
        if changes.end is not None:
            self._make_run(changes.end.status, changes.end.at, batch)

    def _make_step_of(self, step: Step, job: Job) -> None:
        # From its plan on: that it waits for a worker, or for another attempt, belongs to it.
        began_at = min(job.created_at, step.started_at) if job.key == step.id else step.started_at
        self._make_step(step.id, step.name, step.op, began_at, step.ended_at, failed=step.failed)

    def _make_step(self, key: str, name: str, op: str, began_at: int, ended_at: int, *, failed: bool) -> None:
        from inngest_celery.worker import otel

        assert self._tracer is not None
        assert self._trace is not None
        said = {**self._said, "inngest.step.name": name, **({"inngest.step.op": op} if op else {})}
        place = self._trace.at("step", self._run.id, key)
        made = otel.Made(place, self._trace, f"step {name}", said, began_at, ended_at, failed)
        otel.make(self._tracer, made)

    def _make_run(self, status: RunStatus, ended_at: int, batch: Sequence[Event]) -> None:
        from inngest_celery.worker import otel

        assert self._tracer is not None
        assert self._trace is not None
        said: dict[str, Any] = {**self._said, "inngest.run.status": status.name.lower()}
        said["inngest.event.name"] = self._event.name
        others = [trace_context.of_event(each.extra) for each in batch if each.id != self._event.id]
        links = [each for each in others if each is not None]
        failed = status is RunStatus.FAILED
        made = otel.Made(self._trace, self._sent, self._name, said, self._run.created_at, ended_at, failed, links)
        otel.make(self._tracer, made)
