"""Spans of runs, in the trace of whoever sent the event; and what they cost where nobody wants them: nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest
import sqlalchemy as sa
from opentelemetry import trace
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, Sampler
from opentelemetry.trace import StatusCode

import inngest_celery as inngest
from inngest_celery import trace_context
from inngest_celery.store import schema
from tests.functions.bench import Bench
from tests.functions.conftest import MakeBench
from tests.masking.generated import RULES, some
from tests.worker_process import ROOT

pytestmark = pytest.mark.databases("sqlite")

Spans = InMemorySpanExporter


def provide(monkeypatch: pytest.MonkeyPatch, sampler: Sampler | None = None) -> Spans:
    """Have this process use OpenTelemetry until the end of the test."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(sampler=sampler)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    return exporter


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Spans:
    return provide(monkeypatch)


def tree(spans: Sequence[ReadableSpan]) -> list[tuple[str, ...]]:
    """Each span's name behind those of the spans that it is in; ``?`` if one of them is missing."""
    by_id = {span.context.span_id: span for span in spans}

    def path(span: ReadableSpan) -> tuple[str, ...]:
        if span.parent is None:
            return (span.name,)
        parent = by_id.get(span.parent.span_id)
        return ((*path(parent), span.name)) if parent is not None else ("?", span.name)

    return sorted({path(span) for span in spans})


def own(name: str) -> None:
    with trace.get_tracer("product").start_as_current_span(name):
        pass


@pytest.mark.databases("sqlite", "postgres", "mariadb")
def test_a_trace_goes_from_the_request_through_every_step(bench: Bench, spans: Spans) -> None:
    @bench.function("child", trigger=inngest.TriggerEvent(event="test/child"))
    def child(ctx: inngest.ContextSync) -> None:
        ctx.step.run("work", own, "query")

    @bench.function()
    async def fn(ctx: inngest.Context) -> None:
        async def call() -> None:
            own("call")

        await ctx.step.run("first", own, "query")
        await ctx.step.sleep("nap", timedelta(days=3))
        await ctx.step.wait_for_event("news", event="test/news", timeout=timedelta(days=1))
        await ctx.step.run("last", call)
        own("between")
        await ctx.step.invoke("ask", function=child)

    with trace.get_tracer("product").start_as_current_span("request"):
        run = bench.run()
    bench.advance(days=3)
    bench.send("test/news")
    bench.finish(run)
    found = spans.get_finished_spans()
    fn_path, ask_path = ("request", "run app-fn"), ("request", "run app-fn", "step ask")
    assert tree(found) == sorted(
        [
            ("request",),
            fn_path,
            (*fn_path, "step first"),
            (*fn_path, "step first", "attempt first"),
            (*fn_path, "step first", "attempt first", "query"),
            (*fn_path, "step nap"),
            (*fn_path, "step news"),
            (*fn_path, "step last"),
            (*fn_path, "step last", "attempt last"),
            (*fn_path, "step last", "attempt last", "call"),
            (*fn_path, "between"),
            ask_path,
            (*ask_path, "run app-child"),
            (*ask_path, "run app-child", "step work"),
            (*ask_path, "run app-child", "step work", "attempt work"),
            (*ask_path, "run app-child", "step work", "attempt work", "query"),
        ]
    )
    assert len({span.context.trace_id for span in found}) == 1
    lasted = {span.name: (span.end_time - span.start_time) / 86_400e9 for span in found}
    assert lasted["step nap"] == pytest.approx(3, abs=0.01)
    assert lasted["run app-fn"] >= 3
    [whole] = [span for span in found if span.name == "run app-fn"]
    assert whole.attributes is not None
    assert whole.attributes["inngest.run.id"] == run.id
    # The trace is nobody's data.
    assert "traceparent" not in json.dumps([row.data for row in bench.rows(schema.event)])


def test_failed_attempts_are_in_one_step(bench: Bench, spans: Spans) -> None:
    @bench.function(retries=1)
    def fn(ctx: inngest.ContextSync) -> None:
        def body() -> None:
            raise ConnectionError("no answer")

        ctx.step.run("call", body)

    bench.finish()
    found = spans.get_finished_spans()
    path = ("run app-fn", "step call")
    assert tree(found) == [("run app-fn",), path, (*path, "attempt call")]
    assert {span.name: span.status.status_code for span in found} == dict.fromkeys(
        ("run app-fn", "step call", "attempt call"), StatusCode.ERROR
    )
    attempts = [span for span in found if span.name == "attempt call"]
    assert [(span.attributes or {})["inngest.attempt"] for span in attempts] == [0, 1]
    assert attempts[0].events[0].name == "exception"


def test_a_run_that_is_cancelled_has_its_span(bench: Bench, spans: Spans) -> None:
    def sleeper(ctx: inngest.ContextSync) -> None:
        ctx.step.run("a", lambda: None)
        ctx.step.sleep("nap", timedelta(days=1))

    bench.function()(sleeper)
    timeouts = inngest.Timeouts(finish=60_000)
    bench.function("slow", trigger=inngest.TriggerEvent(event="test/slow"), timeouts=timeouts)(sleeper)
    cancel = [inngest.Cancel(event="test/stop")]
    bench.function("stopped", trigger=inngest.TriggerEvent(event="test/stopped"), cancel=cancel)(sleeper)
    bench.inline.runs.cancel(bench.run().id)
    bench.finish(bench.run("test/slow"))
    bench.run("test/stopped")
    bench.send("test/stop")
    for name in ("run app-fn", "run app-slow", "run app-stopped"):
        [whole] = [span for span in spans.get_finished_spans() if span.name == name]
        assert (whole.attributes or {})["inngest.run.status"] == "cancelled"
        assert (name, "step a", "attempt a") in tree(spans.get_finished_spans())


@pytest.fixture
def instrumented() -> Iterator[None]:
    """OpenTelemetry's own instrumentation of Celery makes spans of tasks meanwhile."""
    CeleryInstrumentor().instrument()
    yield
    CeleryInstrumentor().uninstrument()


@pytest.mark.parametrize("hot", [True])
def test_tasks_in_place_are_beside_the_steps(bench: Bench, spans: Spans, instrumented: None) -> None:
    @bench.function()
    def fn(ctx: inngest.ContextSync) -> None:
        ctx.step.run("first", own, "query")

    with trace.get_tracer("product").start_as_current_span("request"):
        bench.run()
    found = spans.get_finished_spans()
    path = ("request", "run app-fn")
    assert {(*path, "run/app/fn"), (*path, "step first", "attempt first", "query")} <= set(tree(found))
    [task], [attempt] = ([span for span in found if span.name == name] for name in ("run/app/fn", "attempt first"))
    assert [link.context.span_id for link in attempt.links] == [task.context.span_id]


def test_a_batch_is_linked_to_all_who_sent_it(bench: Bench, spans: Spans) -> None:
    @bench.function(batch_events=inngest.Batch(max_size=2, timeout=timedelta(minutes=1)))
    def fn(ctx: inngest.ContextSync) -> None: ...

    requests = []
    for name in ("first", "second"):
        with trace.get_tracer("product").start_as_current_span(name) as request:
            requests.append(request.get_span_context().span_id)
            bench.send()
    bench.advance(minutes=1)
    [whole] = [span for span in spans.get_finished_spans() if span.name == "run app-fn"]
    assert whole.parent is not None
    assert [whole.parent.span_id, *(link.context.span_id for link in whole.links)] == requests


def test_what_is_not_sampled_is_not_recorded(make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    spans = provide(monkeypatch, ParentBased(ALWAYS_OFF))
    bench = make_bench()

    @bench.function()
    def fn(ctx: inngest.ContextSync) -> None:
        ctx.step.run("a", own, "query")

    bench.finish()
    with trace.use_span(trace.NonRecordingSpan(trace.SpanContext(7, 7, True, trace.TraceFlags(0)))):
        run = bench.run()
    bench.finish(run)
    assert spans.get_finished_spans() == ()
    with trace.use_span(trace.NonRecordingSpan(trace.SpanContext(7, 7, True, trace.TraceFlags(1)))):
        run = bench.run()
    bench.finish(run)
    assert tree(spans.get_finished_spans())[-1] == ("?", "run app-fn", "step a", "attempt a", "query")


def test_a_worker_without_opentelemetry_passes_the_trace_on(bench: Bench) -> None:
    @bench.function("child", trigger=inngest.TriggerEvent(event="test/child"))
    def child(ctx: inngest.ContextSync) -> None:
        ctx.step.sleep("nap", timedelta(days=1))

    @bench.function()
    def fn(ctx: inngest.ContextSync) -> None:
        ctx.step.send_event("tell", inngest.Event(name="test/child"))

    with trace.use_span(trace.NonRecordingSpan(trace.SpanContext(7, 7, True, trace.TraceFlags(1)))):
        bench.send()
    [told] = bench.events("test/child")
    sent = trace_context.of_event(told.extra)
    assert sent is not None
    assert int(sent.trace_id, 16) == 7
    assert sent.span_id != f"{7:016x}"
    [sleeping] = bench.rows(schema.job, kind="sleep")
    carried = json.loads(sleeping.message)["headers"]["traceparent"]
    assert carried == sent.at("run", sleeping.subject_id).headers["traceparent"]
    bench.advance(days=1)


def test_spans_cost_no_statement(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    @bench.function()
    def fn(ctx: inngest.ContextSync) -> None:
        ctx.step.run("a", lambda: None)
        ctx.step.sleep("nap", 1000)

    counted: list[str] = []
    bench.finish()
    sa.event.listen(bench.database.engine, "before_cursor_execute", lambda *args: counted.append(args[2]))
    bench.finish()
    without = list(counted)
    counted.clear()
    provide(monkeypatch)
    with trace.get_tracer("product").start_as_current_span("request"):
        run = bench.run()
    bench.finish(run)
    assert counted == without


PLAIN = """
import sys
from celery import Celery
import inngest_celery as inngest
from inngest_celery.testing import Inline

app = Celery("plain", set_as_current=False)
client = inngest.Inngest(app_id="plain", celery=app)

@client.create_function(fn_id="fn", trigger=inngest.TriggerEvent(event="a"))
def fn(ctx):
    return ctx.step.run("step", lambda: "done")

inline = Inline(app)
[run] = inline.send(inngest.Event(name="a"))
assert inline.runs.get(run.id).output == "done"
# The client of Redis loads some of OpenTelemetry where it is installed. We do not.
ours = ("opentelemetry.sdk.trace", "inngest_celery.worker.otel", "prometheus_client")
print(*(name for name in sys.modules if name.startswith(ours)))
"""


def test_nothing_is_loaded_where_nobody_uses_it() -> None:
    done = subprocess.run([sys.executable, "-c", PLAIN], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.split() == []


def test_spans_have_nothing_of_what_is_masked(make_bench: MakeBench, spans: Spans) -> None:
    bench = make_bench(inngest_masking=RULES)
    payload = some(2, secrets=10)[1]

    def refuse() -> None:
        raise LookupError(f"there is no {payload.data}")

    @bench.function("child", trigger=inngest.TriggerEvent(event="test/never"), retries=0)
    def child(ctx: inngest.ContextSync) -> object:
        return ctx.event.data

    @bench.function(retries=1)
    def fn(ctx: inngest.ContextSync) -> None:
        ctx.step.run("pass on", lambda: ctx.event.data)
        ctx.step.invoke("call", function=child, data=dict(ctx.event.data))
        ctx.step.run("break", refuse)

    bench.error(bench.run(**payload.data))
    told = "".join(span.to_json() for span in spans.get_finished_spans())
    assert "[masked]" in told
    assert payload.found_in(told) == []
