"""What of spans needs OpenTelemetry. Loaded only where a process has loaded its SDK by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, TypeVar

from opentelemetry import context as context_api
from opentelemetry import trace as trace_api
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TracerProvider,
)
from opentelemetry.trace.span import TraceState

from inngest_celery.sdk.version import package_version
from inngest_celery.trace_context import SAMPLED, Trace

if TYPE_CHECKING:
    from inngest_celery.engine.report import Failure

T = TypeVar("T")
_NAME = "inngest_celery"
_chosen: ContextVar[Trace | None] = ContextVar("inngest_chosen_span", default=None)


class _Ids:
    """Gives the ids that were chosen for a span, and to all others those that the provider would give."""

    def __init__(self, others: Any) -> None:
        self._others = others

    def generate_span_id(self) -> int:
        chosen = _chosen.get()
        return self._others.generate_span_id() if chosen is None else int(chosen.span_id, 16)

    def generate_trace_id(self) -> int:
        chosen = _chosen.get()
        return self._others.generate_trace_id() if chosen is None else int(chosen.trace_id, 16)

    def is_trace_id_random(self) -> bool:
        # Those that are derived are not.
        return False


@dataclass(frozen=True, slots=True)
class Made:
    """A span that is made when it has ended. Times are milliseconds since 1970.

    Attributes:
        place: itself; its ids are known before.
        parent: what it is in; ``None`` for the first span of a trace.
        links: what else it comes of.
    """

    place: Trace
    parent: Trace | None
    name: str
    attributes: Mapping[str, str | int]
    began_at: int
    ended_at: int
    failed: bool
    links: Sequence[Trace] = ()


def tracer() -> Tracer | None:
    """Give our tracer of the provider that is set; ``None`` if none is, or one that lets nobody choose ids."""
    return _tracer_of(trace_api.get_tracer_provider())


@lru_cache(maxsize=8)
def _tracer_of(provider: TracerProvider) -> Tracer | None:
    found: Any = provider.get_tracer(_NAME, package_version())
    ids = getattr(found, "id_generator", None)
    if ids is None:
        return None
    if not isinstance(ids, _Ids):
        # It is ours alone: a provider has one for each name.
        found.id_generator = _Ids(ids)
    return found  # type: ignore[no-any-return]


def sampled(tracer: Tracer, trace: Trace, name: str) -> Trace:
    """Give the first place of a new trace as the provider's sampler wants it: recorded, or not."""
    sampler: Any = getattr(tracer, "sampler", None)
    if sampler is None:
        return trace
    result = sampler.should_sample(None, int(trace.trace_id, 16), name)
    return replace(trace, flags=SAMPLED if result.decision.is_sampled() else 0)


@contextmanager
def within(trace: Trace) -> Iterator[None]:
    """Be at a place of a trace."""
    token = context_api.attach(_context(trace))
    try:
        yield
    finally:
        context_api.detach(token)


def attempt(
    tracer: Tracer,
    parent: Trace,
    name: str,
    attributes: Mapping[str, str | int],
    body: Callable[[Callable[[], object]], T],
    failed: Callable[[T], tuple[Failure | None, BaseException | None]],
    task: Trace | None,
    *,
    calls: bool,
) -> T:
    """Do something inside of a span; see :meth:`inngest_celery.worker.spans.RunSpans.attempt`.

    Args:
        task: the span of the Celery task, if it has one: it is linked.
    """
    links = [] if task is None else [Link(_span_context(task))]
    context = _context(parent)
    kind = SpanKind.CLIENT if calls else SpanKind.INTERNAL
    span = tracer.start_span(name, context, kind, dict(attributes), links)
    inside = trace_api.set_span_in_context(span, context)
    with trace_api.use_span(span, end_on_exit=True):
        result = body(partial(context_api.attach, inside))
        failure, error = failed(result)
        if error is not None:
            span.record_exception(error)
        if failure is not None:
            span.set_status(Status(StatusCode.ERROR, f"{failure.name}: {failure.message}"))
    return result


def make(tracer: Tracer, made: Made) -> None:
    """Make a span that has ended."""
    context = context_api.Context() if made.parent is None else _context(made.parent)
    links = [Link(_span_context(each)) for each in made.links]
    token = _chosen.set(made.place)
    try:
        span = tracer.start_span(
            made.name, context, SpanKind.INTERNAL, dict(made.attributes), links, made.began_at * 1_000_000
        )
    finally:
        _chosen.reset(token)
    if made.failed:
        span.set_status(Status(StatusCode.ERROR))
    span.end(made.ended_at * 1_000_000)


def _context(trace: Trace) -> context_api.Context:
    return trace_api.set_span_in_context(NonRecordingSpan(_span_context(trace)))


def _span_context(trace: Trace) -> SpanContext:
    state = TraceState.from_header([trace.state]) if trace.state else None
    return SpanContext(int(trace.trace_id, 16), int(trace.span_id, 16), True, TraceFlags(trace.flags), state)
