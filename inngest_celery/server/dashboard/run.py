"""One run: what happened in it, what it waits for, and what can be done to it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from inngest_celery.engine import prompts
from inngest_celery.engine.spec import read_spec
from inngest_celery.opcodes import Opcode
from inngest_celery.server import notices
from inngest_celery.server.dashboard.acting import Acting
from inngest_celery.server.dashboard.waterfall import waterfall_of
from inngest_celery.server.errors import ApiError
from inngest_celery.server.rendering import page
from inngest_celery.server.state import Server, Serving
from inngest_celery.server.tracing import invocation_of, trace_of
from inngest_celery.server.viewing import eyes_of
from inngest_celery.store import details, events, functions, runs
from inngest_celery.store.asked import AskedTask, asked_task
from inngest_celery.store.details import Details
from inngest_celery.store.functions import CALL_TASK
from inngest_celery.store.rows import Attempt, Event, Job, Run, RunStatus, Step
from inngest_celery.worker import deleting
from inngest_celery.worker.rerunning import RerunError, rerun
from inngest_celery.worker.runs import RunEndedError, RunNotFoundError, Runs
from inngest_celery.worker.why import explain

router = APIRouter()

# Whoever looks at a page does not wait for workers to answer.
_WHY_TIMEOUT_S = 0.0
_EVENTS_SHOWN = 100


@dataclass(frozen=True, slots=True)
class ModelAsked:
    """What a model was asked.

    Attributes:
        whom: the provider, or the request's format, and the model, as far as they are known.
        body: JSON text of the request's body; ``None`` if it was too large to be kept.
        size: how many bytes that had.
        sha256: its hash.
    """

    whom: str
    body: str | None
    size: int | None
    sha256: str | None


@dataclass(frozen=True, slots=True)
class AttemptShown:
    """An attempt that failed, with what a model was asked in it, if one was."""

    attempt: Attempt
    error: str
    asked_model: ModelAsked | None


@dataclass(frozen=True, slots=True)
class StepShown:
    """What is known of one step.

    Attributes:
        step: its outcome; ``None`` while it has none.
        job: what is still to be done for it.
        given: JSON text of what it was given, if that is recorded.
        waited: JSON text of what it waited for.
        asked_model: what it has asked a model.
        result: JSON text of what it gave.
        child: the run that it invoked.
        event_id: the event that it waited for.
        asked: the Celery task that it waits for.
    """

    id: str
    name: str
    op: str
    step: Step | None
    job: Job | None
    attempts: list[AttemptShown]
    given: str | None
    waited: str | None
    asked_model: ModelAsked | None
    result: str | None
    child: str | None
    event_id: str | None
    asked: AskedTask | None = None


@router.get("/run")
def run_of_official_address(runID: str = "") -> Response:
    """Lead an address of the official dashboard on."""
    return RedirectResponse(f"/runs/{quote(runID, safe='')}" if runID else "/runs", status_code=307)


@router.get("/runs/{run_id}")
def show_run(request: Request, server: Serving, run_id: str, step: str = "") -> Response:
    """Show a run, and one of its steps from near."""
    now = server.runtime.clock.now()
    run = _run(server, run_id)
    with server.runtime.database.autocommit() as connection:
        found = details.of_runs(connection, [run.id])[run.id]
        function = functions.get(connection, run.function_id)
        started_by = events.of_run(connection, run.id) if run.batch else []
        started_by = started_by or [each for each in [events.get(connection, run.event_id)] if each]
    name = read_spec(function.config).name if function else run.function_id
    eyes, event_name = eyes_of(server), started_by[0].name if started_by else None
    run, found = eyes.run(run, event_name), eyes.details(found, run.function_id, event_name)
    started_by = [eyes.event(each) for each in started_by[:_EVENTS_SHOWN]]
    chosen = _step(server, run, found, step) if step else None
    status = RunStatus(run.status)
    return page(
        request,
        "run.html",
        run=run,
        name=name,
        function=function,
        now=now,
        ended=status.ended,
        events=started_by,
        waterfall=waterfall_of(trace_of(run, name, found), now),
        calls=[attempt for attempt in found.attempts if not attempt.step_id],
        reasons=[] if status.ended else explain(server.runtime, run.id, _WHY_TIMEOUT_S, eyes).reasons,
        chosen=chosen,
        takes_input=function is not None and function.task_name == CALL_TASK,
        flower_url=server.settings.flower_url.rstrip("/"),
        event_json=_event_json(started_by[0]) if started_by else None,
    )


def _step(server: Server, run: Run, found: Details, step_id: str) -> StepShown | None:
    step = next((each for each in found.steps if each.id == step_id), None)
    job = next((each for each in found.jobs if each.key == step_id), None)
    if step is None and job is None:
        return None
    opts = json.loads(job.opts or "{}") if job else {}
    op = step.op if step else str(opts.get("op") or Opcode.STEP_RUN.value)
    invoked = invocation_of(run.id, step_id) if op == Opcode.INVOKE.value else None
    memo = json.loads(step.memo) if step else None
    answer = json.loads(step.waited).get("answer") if step and step.waited else None
    # What the sender calls it, in steps of earlier releases: mostly the same.
    waited_for = (answer or memo).get("id") if op == Opcode.WAIT_FOR_EVENT.value and isinstance(memo, dict) else None
    return StepShown(
        id=step_id,
        name=step.name if step else job.name if job else "",
        op=op,
        step=step,
        job=job,
        attempts=[_attempt(each) for each in found.attempts if each.step_id == step_id],
        given=json.dumps(opts["input"]) if opts.get("input") is not None else None,
        waited=_waited(step.waited) if step else None,
        asked_model=_asked(prompts.in_step(step.waited)) if step else None,
        result=_result(step.memo) if step else None,
        child=_child(server, invoked) if invoked else None,
        event_id=waited_for if isinstance(waited_for, str) else None,
        asked=asked_task(job),
    )


def _attempt(attempt: Attempt) -> AttemptShown:
    return AttemptShown(attempt, prompts.without(attempt.error), _asked(prompts.in_error(attempt.error)))


def _asked(asked: dict[str, Any] | None) -> ModelAsked | None:
    if asked is None:
        return None
    named = [asked.get("provider") or asked.get("format"), asked.get("model")]
    body = json.dumps(asked["body"], ensure_ascii=False) if "body" in asked else None
    return ModelAsked(" ".join(str(each) for each in named if each), body, asked.get("bytes"), asked.get("sha256"))


def _waited(text: str | None) -> str | None:
    """Give what was waited for. Who has sent what came is for those who may read the log."""
    kept = json.loads(text) if text else {}
    told = {name: value for name, value in kept.items() if name not in (prompts.ASKED, "answer")}
    return json.dumps(told, ensure_ascii=False) if told else None


def _result(memo: str) -> str:
    """Take what a step gave out of what is remembered of it."""
    read = json.loads(memo)
    if isinstance(read, dict) and len(read) == 1 and next(iter(read)) in ("data", "error"):
        return json.dumps(next(iter(read.values())))
    return memo


def _child(server: Server, event_id: str) -> str | None:
    with server.runtime.database.autocommit() as connection:
        started = runs.of_event(connection, event_id)
    return started[0].id if started else None


def _event_json(event: Event) -> str:
    return json.dumps({"name": event.name, "data": json.loads(event.data)}, indent=2, ensure_ascii=False)


@router.post("/runs/{run_id}/cancel")
def cancel(server: Serving, acting: Acting, run_id: str) -> Response:
    """Cancel a run."""
    run = _run(server, run_id)
    try:
        with acting.does("run.cancel", run.id):
            Runs(server.runtime.app).cancel(run.id, "cancelled in the dashboard")
    except RunEndedError as error:
        return notices.redirect(f"/runs/{run_id}", str(error), failed=True)
    return notices.redirect(f"/runs/{run_id}", "The run is cancelled.")


@router.post("/runs/{run_id}/rerun")
def run_again(
    server: Serving,
    acting: Acting,
    run_id: str,
    step: Annotated[str, Form()] = "",
    given: Annotated[str, Form(alias="input")] = "",
) -> Response:
    """Run a run again, from its beginning or from a step with another input."""
    back = f"/runs/{_run(server, run_id).id}"
    try:
        step_input = _arguments(given)
        with acting.does("run.rerun", run_id, {"step": step[:64]} if step else {}) as entry:
            new_id = rerun(server.runtime, run_id, from_step=step or None, step_input=step_input)
            entry.tell(run_id=new_id)
    except (ValueError, RunNotFoundError) as error:
        return notices.redirect(f"{back}?step={quote(step, safe='')}" if step else back, str(error), failed=True)
    return notices.redirect(f"/runs/{new_id}", f"This run repeats {run_id}.")


def _arguments(text: str) -> list[object] | None:
    """Read the arguments for a step.

    Raises:
        RerunError: they are no JSON list.
    """
    if not text.strip():
        return None
    try:
        read = json.loads(text)
    except ValueError as error:
        raise RerunError(f"The input is no JSON: {error}") from error
    if not isinstance(read, list):
        raise RerunError("The input is a JSON list: the arguments of the step.")
    return read


@router.post("/runs/{run_id}/delete")
def delete(server: Serving, acting: Acting, run_id: str) -> Response:
    """Delete a run that has ended."""
    run = _run(server, run_id)
    with acting.does("run.delete", run.id):
        deleted = deleting.delete_ended(server.runtime, [run.id])
    if deleted:
        return notices.redirect("/runs", f"Run {run_id} is deleted.")
    return notices.redirect(f"/runs/{run_id}", "The run has not ended (cancel it first), or it is held.", failed=True)


def _run(server: Server, run_id: str) -> Run:
    with server.runtime.database.autocommit() as connection:
        run = runs.get(connection, run_id)
    if run is None:
        raise ApiError(404, f"There is no run {run_id}. It may have been deleted.", code="run_not_found")
    return run
