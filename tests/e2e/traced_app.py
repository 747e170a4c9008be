"""An app whose workers use OpenTelemetry, and its instrumentation of Celery; spans go into the file ``SPANS``."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import worker_process_init
from opentelemetry import trace
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

import inngest_celery as inngest

app = Celery("traced", broker=os.environ["BROKER"])
app.conf.inngest_sweep_interval = 0.1
client = inngest.Inngest(app_id="traced", celery=app)


def _line(span: ReadableSpan) -> str:
    return f"{span.to_json(indent=None)}\n"


@worker_process_init.connect
def trace_tasks(**_: Any) -> None:
    provider = TracerProvider()
    # A line at a time, which is whole however many processes write.
    spans = open(os.environ["SPANS"], "a", buffering=1)  # noqa: PTH123, SIM115
    provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=spans, formatter=_line)))
    trace.set_tracer_provider(provider)
    CeleryInstrumentor().instrument()


@client.create_function(fn_id="fn", trigger=inngest.TriggerEvent(event="test/go"))
def fn(ctx: inngest.ContextSync) -> None:
    def query() -> None:
        with trace.get_tracer("product").start_as_current_span("query"):
            pass

    ctx.step.run("first", query)
    ctx.step.sleep("nap", 300)
    ctx.step.run("last", query)
