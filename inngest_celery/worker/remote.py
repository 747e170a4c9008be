"""Turns at a run of a remote function: it is called over the wire, once for each step, and answers what comes next."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import redis

from inngest_celery import ids
from inngest_celery.crash import crash_point
from inngest_celery.drivers.http import answer as answers
from inngest_celery.drivers.http import endpoints, gateway, request, transport
from inngest_celery.drivers.http.reading import Circumstances, report_of
from inngest_celery.engine import prompts
from inngest_celery.engine.decide import ONWARD
from inngest_celery.engine.report import Failure, GoOn, Outcome, Report
from inngest_celery.engine.retries import is_final
from inngest_celery.engine.spec import read_spec
from inngest_celery.opcodes import Opcode
from inngest_celery.store.changes import Applied
from inngest_celery.store.functions import CALL_TASK, FunctionRow
from inngest_celery.store.jobs import Claimed
from inngest_celery.store.rows import Job, JobKind
from inngest_celery.worker import hints
from inngest_celery.worker.admission import Slot
from inngest_celery.worker.runtime import Runtime
from inngest_celery.worker.signing_keys import EXPIRED
from inngest_celery.worker.tracing import Shown, trace_in_place
from inngest_celery.worker.turns import Turns, decision, signal_conflict

logger = logging.getLogger(__name__)

_UNKNOWN_VERSION = -1
_FORGED = Failure(
    "SignatureInvalid",
    "the app's answer is not signed with this server's key. Are INNGEST_SIGNING_KEY in the app and in the server the "
    "same, and their clocks within five minutes?",
    code="sig_verification_failed",
)

_GOES_ROUND = Failure(
    "StepsRepeated",
    "the app asks for steps again and again that are recorded already. Does its SDK read what it is sent, and does the "
    "function always come to the same steps?",
    code="steps_repeated",
    retriable=False,
)


# An app that is away is looked for again after this time, which doubles.
_AWAY_MS, _LONGEST_AWAY_MS = 1000, 10_000


class Unanswered(Exception):
    """Nobody was there to take a call."""


class RemoteError(Exception):
    """An error of a remote function, for Celery to show. It is named as it is over there."""


class RemoteTurns(Turns):
    """The turns that one worker takes at a run of a remote function.

    Every answer is written before the next call is made: what an app has done is not asked of it twice.
    """

    def __init__(
        self, runtime: Runtime, claimed: Claimed, function: FunctionRow, task_id: str, slot: Slot | None
    ) -> None:
        super().__init__(runtime, claimed, read_spec(function.config), CALL_TASK, task_id, slot)
        self._function_id, self._app_id = function.id, function.app_id
        self._url = str(self._spec.url)
        self._waited_for_all = False

    def _carry_on(self, switch_lease: Callable[[Job | None], None]) -> None:
        if self._job.attempt >= self._spec.max_attempts:
            self._give_up(_GOES_ROUND)
            return
        timers = self._load()
        while True:
            alone = self._alone
            applied = self._settle(timers) if timers or self._waits_for_others() else self._take_turn()
            timers = []
            kept = None if applied is None else self._kept(applied)
            if kept is None:
                return
            self._job = kept
            switch_lease(kept)
            if not (alone and self._alone):
                # Others have recorded what they did, too.
                self._reload()
                # A call that was waited for by all is made when no other job is left.
                self._alone = kept.key.startswith(ONWARD) and self._waited_for_all

    # What the job at hand says

    @property
    def _version(self) -> int:
        return int(self._keeps.get("v", _UNKNOWN_VERSION))

    @property
    def _inputs(self) -> dict[str, str]:
        """What steps are to be called with instead of what they were, by their hashes; see ``worker.rerunning``."""
        inputs: dict[str, str] = self._keeps.get("inputs") or {}
        return {key: text for key, text in inputs.items() if key not in self._memos}

    @property
    def _carried(self) -> dict[str, object]:
        """What jobs keep for the next call of the function."""
        return {"v": self._version, **({"inputs": self._inputs} if self._inputs else {})}

    def _goes_on_after_each(self) -> bool:
        return bool(self._keeps.get("race")) or 0 <= self._version < 2

    def _waits_for_others(self) -> bool:
        """Tell whether the function is not to be called before steps that others carry out are done, too."""
        if self._alone or self._goes_on_after_each() or self._job.key.startswith(ONWARD):
            return False
        return self._job.kind is JobKind.RESUME

    # Working

    def _settle(self, timers: list[Outcome]) -> Applied:
        """Record that time has passed, or that an event came, and go on unless other steps are waited for, too.

        It is on record before the function is called: what the app does then comes after it.
        """
        report = Report(outcomes=timers, known=len(self._memos), parallel=not self._alone, keeps=self._carried)
        report.go_on = GoOn.AFTER_EACH if self._goes_on_after_each() else GoOn.AFTER_ALL
        self._waited_for_all = report.go_on is GoOn.AFTER_ALL
        return self._write(decision(self._turn(), report), timers)

    def _take_turn(self) -> Applied | None:
        """Call the function, or make the request that it asked for, and write what came of it.

        ``None`` if nobody is there to be called: the job is left for later.
        """
        crash_point("before_body")
        if self._job is self._own_job:
            report = self._work(self._task_id)
            self.error = self.error or self._seen_failure(report)
        else:
            report = trace_in_place(
                self._runtime.app,
                self._task_name,
                shadow=hints.shadow_name(self._job),
                run_id=self._run.id,
                key=self._job.key,
                step=self._job.name,
                attempt=self._job.attempt,
                message=self._job.message,
                body=self._work,
                show=self._shown,
            )
        if report is None:
            return None
        crash_point("after_body")
        own = report.outcomes
        self._waited_for_all = report.go_on is GoOn.AFTER_ALL
        applied = self._write(decision(self._turn(), report), own)
        if applied.conflict is not None:
            report.failure = signal_conflict(applied.conflict)
            applied = self._write(decision(self._turn(), report), own)
        self._alone = not report.parallel
        self._memos.update({outcome.key: outcome.memo for outcome in own if outcome.memo is not None})
        return applied

    def _work(self, task_id: str) -> Report | None:
        job = self._job
        step = job.key if job.kind is JobKind.STEP and job.key not in self._memos else ""
        name = job.name if step else self._function_id
        return self._spans.attempt(step, name, job.attempt, lambda _: self._answer(task_id), self._failed, calls=True)

    def _answer(self, task_id: str) -> Report | None:
        report = self._ask(task_id)
        if report is None:
            return None
        return self._runtime.door.report(report, self._run.function_id, self._event.name)

    # What Celery and spans are told of it

    def _failed(self, report: Report | None) -> tuple[Failure | None, BaseException | None]:
        failure = _failure_of(report)
        if failure is None:
            return None, None
        return self._runtime.eyes.failure(failure, self._run.function_id, self._event.name), None

    def _seen_failure(self, report: Report | None) -> RemoteError | None:
        """Give what failed of a call, for Celery to show."""
        found, _ = self._failed(report)
        return None if found is None else RemoteError(f"{found.name}: {found.message}")

    def _shown(self, report: Report | None) -> Shown:
        if report is None:
            return Shown()
        error = self._seen_failure(report)
        retries = error is not None and not any(outcome.memo for outcome in report.outcomes)
        output = report.output
        if output is not None:
            output = self._runtime.eyes.memo(output, "", self._run.function_id, self._event.name)
        return Shown(output, error, retries=retries)

    def _ask(self, task_id: str) -> Report | None:
        wanted = self._keeps.get("gateway")
        if wanted is not None and self._job.key not in self._memos:
            return self._make_request(wanted, task_id)
        self._asked_at = started_at = self._clock.now()
        call = self._call()
        try:
            answer = answers.read(self._post(call), self._clock.now())
        except transport.NoResponse as error:
            answer = answers.Answer(failure=error.failure)
        except Unanswered as error:
            self._wait_for_app(error)
            return None
        if call.step == request.DISCOVERY and not call.plan_only and answer.goes_on_by_itself:
            call = self._after_checkpoints(call)
        races = bool(self._keeps.get("race"))
        found = Circumstances(self._alone, races, started_at, self._clock.now(), task_id, self._carried)
        return report_of(call, answer, found)

    def _call(self) -> request.Call:
        job = self._job
        targeted = job.kind is JobKind.STEP and job.key not in self._memos
        return request.Call(
            url=self._url,
            function_id=self._function_id,
            run_id=self._run.id,
            step=job.key if targeted else request.DISCOVERY,
            events=self._batch or [self._event],
            memos=self._memos,
            inputs=self._inputs,
            attempt=job.attempt,
            max_attempts=self._spec.max_attempts,
            version=self._version,
            plan_only=not self._alone,
            job_id=f"{job.subject_id}.{job.key}",
            generation=job.fence,
            request_id=ids.new(self._clock.now()),
            trace=self._spans.outgoing,
        )

    def _after_checkpoints(self, call: request.Call) -> request.Call:
        """Give the call as if it had been made now: the app may have recorded steps while it lasted."""
        self._reload()
        if len(self._memos) > len(call.memos):
            self._job = replace(self._job, kind=JobKind.RESUME, attempt=0)
            call = replace(call, memos=self._memos, attempt=0)
        return call

    def _post(self, call: request.Call) -> transport.Response:
        settings = self._runtime.settings
        if call.url.startswith(("ws://", "wss://")):
            return self._call_over_connection(call)
        made = self._request(call)
        response = transport.send(made.method, made.url, made.body, made.headers, private=settings.calls_private)
        signature = response.headers.get("x-inngest-signature")
        # Older SDKs do not sign what they answer.
        if settings.signing_keys and signature:
            self._check(response.body.rstrip(b"\n"), signature)
        return response

    def _check(self, body: bytes, signature: str) -> None:
        """Refuse an answer that is not signed with a key that is good, and see that the use of one is known."""
        keys = self._runtime.signing_keys
        if keys.signer(body, signature, f"app {self._app_id}") is None:
            ended = keys.was_signed(body, signature)
            raise transport.NoResponse(Failure("SignatureInvalid", keys.ending, code=EXPIRED) if ended else _FORGED)
        keys.write()

    def _call_over_connection(self, call: request.Call) -> transport.Response:
        """Call an app that has dialled in."""
        # Seldom needed, and it takes what only servers have installed.
        from inngest_celery.drivers.connect import calling

        try:
            return calling.call(self._runtime.channel, self._app_id, call, request.body_of(call))
        except calling.NobodyTakesIt as error:
            raise Unanswered(str(error)) from error
        except redis.RedisError as error:
            message = f"the Redis in which apps that dial in are called does not answer: {error}"
            raise transport.NoResponse(Failure("ConnectError", message, code="connect_internal_error")) from error

    def _wait_for_app(self, error: Unanswered) -> None:
        """Leave the job for later: an app that is away has had no attempt at it."""
        self._put_back(self._clock.now() + min(_LONGEST_AWAY_MS, _AWAY_MS << min(self._times_put_back, 10)))
        self.error = RemoteError(str(error))
        logger.warning(
            "%s of run %s waits: %s",
            self._job.name or "The start",
            self._run.id,
            error,
            extra={"action": "app_away", "run_id": self._run.id, "step": self._job.key},
        )

    def _request(self, call: request.Call) -> endpoints.Request:
        settings = self._runtime.settings
        key, at_s = next(iter(settings.signing_keys), None), self._clock.now() // 1000
        if self._spec.is_endpoint:
            return self._request_of_endpoint(call, key, at_s)
        body = request.body_of(call)
        headers = request.headers_of(call, body, key=key, kind=settings.server_kind, at_s=at_s)
        return endpoints.Request("POST", transport.with_step(call.url, call.step), body, headers)

    def _request_of_endpoint(self, call: request.Call, key: str | None, at_s: int) -> endpoints.Request:
        try:
            return endpoints.request_of(call, key=key, kind=self._runtime.settings.server_kind, at_s=at_s)
        except ValueError as error:
            failure = Failure("NotAnHttpRequest", str(error), code="not_an_http_request", retriable=False)
            raise transport.NoResponse(failure) from error

    def _make_request(self, wanted: dict[str, Any], task_id: str) -> Report:
        """Make the request of a gateway step."""
        started_at = self._clock.now()
        memo, failure = None, None
        try:
            memo = f'{{"data":{gateway.perform(wanted, private=self._runtime.settings.calls_private)}}}'
        except gateway.GatewayFailed as error:
            failure = error.failure
            if is_final(failure, self._job.attempt, self._spec.max_attempts):
                memo = failure.to_memo()
        op = Opcode(wanted["op"])
        outcome = Outcome(
            key=self._job.key,
            name=self._job.name,
            op=op,
            attempt=self._job.attempt,
            memo=memo,
            failure=failure,
            started_at=started_at,
            ended_at=self._clock.now(),
            task_id=task_id,
            asked=prompts.of_request(wanted) if op is Opcode.AI_GATEWAY else None,
        )
        return Report(
            outcomes=[outcome],
            known=len(self._memos) + (memo is not None),
            seen=len(self._memos),
            parallel=not self._alone,
            go_on=GoOn.AFTER_EACH if self._goes_on_after_each() else GoOn.AFTER_ALL,
            keeps=self._carried,
        )


def _failure_of(report: Report | None) -> Failure | None:
    if report is None:
        return None
    failures = [report.failure, *(outcome.failure for outcome in report.outcomes)]
    return next((failure for failure in failures if failure is not None), None)
