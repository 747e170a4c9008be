"""What a call of a remote function sends."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inngest_celery import ids
from inngest_celery.drivers.http.signing import canonical, sign
from inngest_celery.store.events import as_json
from inngest_celery.store.rows import Event
from inngest_celery.trace_context import Trace, of_run

# What a body may have; beyond it the SDK fetches the steps, and if need be the events.
MAX_BODY = 4 * 1024 * 1024
_STATE_THAT_FITS = MAX_BODY - 1024
DISCOVERY = "step"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a function.

    Attributes:
        url: where the function is called, as its app has registered it.
        function_id: its full id.
        run_id: the run.
        step: the hash of the one step to execute; ``DISCOVERY`` lets the function go on to whatever comes next.
        events: what started the run; one, or a batch.
        memos: JSON text of every recorded outcome, by step hash, in the order in which they were recorded.
        inputs: JSON text of ``{"input": […]}`` by step hash: what the step is to be called with, instead of what the
            function calls it with.
        attempt: zero-based, of the job at hand.
        max_attempts: how often it may be tried.
        version: the request version that the SDK has answered with; -1 while it is not known.
        plan_only: whether the SDK must not execute a step that it finds.
        job_id: names the job, for the SDK's reports about it.
        generation: the job's fence: a report under an older one is refused.
        request_id: names this call in logs.
        trace: where it is made from; left out, it is in a trace of the run's own.
    """

    url: str
    function_id: str
    run_id: str
    step: str
    events: Sequence[Event]
    memos: Mapping[str, str]
    inputs: Mapping[str, str]
    attempt: int
    max_attempts: int
    version: int
    plan_only: bool
    job_id: str
    generation: int
    request_id: str
    trace: Trace | None = None


def body_of(call: Call) -> bytes:
    """Give the body of a call, in canonical form, no larger than an SDK takes.

    What does not fit is left out, and ``use_api`` says so.
    """
    state = sum(len(key) + len(memo) for key, memo in call.memos.items())
    fetched = state > _STATE_THAT_FITS
    body = _body(call, with_steps=not fetched, with_events=True)
    if len(body) > MAX_BODY and not fetched:
        body = _body(call, with_steps=False, with_events=True)
    if len(body) > MAX_BODY:
        body = _body(call, with_steps=False, with_events=False)
    return body


def _body(call: Call, *, with_steps: bool, with_events: bool) -> bytes:
    events = [json.loads(as_json(event)) for event in call.events]
    use_api = not (with_steps and with_events)
    stack, state = list(call.memos), {**call.memos, **call.inputs}
    context = {
        "attempt": call.attempt,
        "disable_immediate_execution": call.plan_only,
        "env": "",
        "fn_id": ids.function_uuid(call.function_id),
        "generation_id": call.generation,
        "job_id": call.job_id,
        "max_attempts": call.max_attempts,
        "qi_id": call.job_id,
        "request_id": call.request_id,
        "run_id": call.run_id,
        "stack": {"current": len(stack), "stack": stack},
        # The step to execute stands in the address and in a header only, as SDKs are used to.
        "step_id": DISCOVERY,
        "use_api": use_api,
    }
    return canonical(
        {
            "ctx": context,
            "defers": {},
            "event": events[0] if with_events else {},
            "events": events if with_events else [],
            "steps": {key: json.loads(text) for key, text in state.items()} if with_steps else {},
            "use_api": use_api,
            "version": call.version,
        }
    )


def headers_of(call: Call, body: bytes, *, key: str | None, kind: str, at_s: int) -> dict[str, str]:
    """Give the headers of a call.

    Args:
        body: what is sent.
        key: what to sign it with, if there is a key.
        kind: what this server is: ``dev`` or ``cloud``.
        at_s: when, in seconds since 1970.
    """
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Inngest",
        "X-Inngest-Server-Kind": kind,
        "X-Inngest-Req-Version": str(call.version),
        "X-Inngest-Step-ID": call.step,
        "X-Run-ID": call.run_id,
        "x-request-id": call.request_id,
        "x-inngest-generation-id": str(call.generation),
        "x-inngest-job-id": call.job_id,
        "account-id": ids.ACCOUNT,
        **(call.trace or of_run(call.run_id, None)).headers,
    }
    return headers | ({"X-Inngest-Signature": sign(key, body, at_s)} if key else {})
