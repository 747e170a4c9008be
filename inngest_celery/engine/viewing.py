"""Rows as somebody may see them. Whatever is shown of a payload, by whatever surface, goes through :class:`Eyes`.

What functions need to execute does not: they get what is stored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from inngest_celery.engine import prompts
from inngest_celery.engine.lifecycle import CANCELLED, FAILED, FINISHED
from inngest_celery.engine.report import Failure
from inngest_celery.masking import Masker, Rule
from inngest_celery.masking.marks import REDACTED
from inngest_celery.masking.sealed import MARKER, hidden
from inngest_celery.opcodes import Opcode
from inngest_celery.store.details import Details
from inngest_celery.store.history import History
from inngest_celery.store.rows import Attempt, Event, Job, Run, RunStatus, Step, Wait

# From those who may do least.
ROLES = ("viewer", "operator", "admin")
# What somebody else's function has given: its rules hold, and which one it was is not in the row.
_OF_OTHERS = (Opcode.INVOKE.value, Opcode.CELERY.value)
_LITERAL = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|(?<![\w.])\d+(?:\.\d+)?""")


def hidden_from(rules: Sequence[Rule], role: str) -> list[Rule]:
    """Give the rules that hold for a role: ``viewer``, ``operator`` or ``admin``.

    Rules for what is stored are among them: there may be rows that are older than the rule.
    """
    may = ROLES.index(role)
    return [rule for rule in rules if not rule.reveal or may < min(ROLES.index(each) for each in rule.reveal)]


@dataclass(frozen=True, slots=True)
class Eyes:
    """Somebody who looks, by what is masked for them. Rows are given as they are where nothing is to be masked.

    Of a secret nobody sees anything.

    Example:
        >>> eyes = Eyes(Masker([Rule(path="data.iban")]))
        >>> eyes.event(Event("1", "shop/paid", "1", '{"iban": "DE89"}', 0, 0)).data
        '{"iban":"[masked]"}'
    """

    masker: Masker

    @property
    def see_all(self) -> bool:
        """Whether nothing is masked for them but secrets."""
        return not self.masker

    def event(self, event: Event) -> Event:
        """Give an event as they see it."""
        if not self.masker and MARKER not in event.data and (event.extra is None or MARKER not in event.extra):
            return event
        extra = event.extra
        if extra is not None:
            kept = json.loads(extra)
            if "user" in kept:
                kept["user"] = hidden(self.masker.value(kept["user"], "user", event.name))
                extra = json.dumps(kept)
        data = masked_data(self.masker, event.name, json.loads(event.data))
        return replace(
            event,
            data=json.dumps(hidden(data), ensure_ascii=False),
            extra=extra,
            external_id=self.masker.text(event.external_id, event.name),
        )

    def run(self, run: Run, event: str | None = None) -> Run:
        """Give a run as they see it.

        Args:
            event: the name of what started it. Where it is not known, the rules of all events hold.
        """
        output = run.output
        if output is not None and (self.masker or MARKER in output):
            given, failed = json.loads(output), run.status != RunStatus.COMPLETED
            output = json.dumps(self.result(given, run.function_id, event, failed=failed), ensure_ascii=False)
        reason = run.reason and self.masker.text(run.reason, event, run.function_id)
        return run if (output, reason) == (run.output, run.reason) else replace(run, output=output, reason=reason)

    def result(self, value: Any, function_id: str | None, event: str | None = None, *, failed: bool) -> Any:
        """Give what a function or a step has given, or failed with, as they see it; changes parsed JSON in place."""
        return hidden(self.masker.value(value, "error" if failed else "output", event, function_id))

    def error(self, text: str | None, function_id: str | None, event: str | None = None) -> str | None:
        """Give the JSON text of an error as they see it."""
        if text is None or not (self.masker or MARKER in text):
            return text
        return json.dumps(self.result(json.loads(text), function_id, event, failed=True), ensure_ascii=False)

    def failure(self, failure: Failure, function_id: str, event: str | None = None) -> Failure:
        """Give an error as they see it: the very same one, if nothing of it is masked."""
        if not self.masker and MARKER not in failure.message:
            return failure
        before = {"name": failure.name, "message": failure.message, "stack": failure.stack}
        after = self.result(dict(before), function_id, event, failed=True)
        if after == before:
            return failure
        return replace(failure, name=after["name"], message=after["message"], stack=after["stack"], raw=None)

    def memo(self, text: str, op: str, function_id: str | None, event: str | None = None) -> str:
        """Give what a step has given, as it is remembered, as they see it."""
        if not self.masker and MARKER not in text:
            return text
        of = None if op in _OF_OTHERS else function_id
        return json.dumps(hidden(masked_memo(self.masker, json.loads(text), op, of, event)), ensure_ascii=False)

    def step(self, step: Step, function_id: str | None, event: str | None = None) -> Step:
        """Give a step as they see it."""
        memo = self.memo(step.memo, step.op, function_id, event)
        waited = step.waited
        if waited is not None and (self.masker or MARKER in waited):
            said = json.loads(waited)
            if said.get("if"):
                said["if"] = self.expression(said["if"])
            if isinstance(said.get(prompts.ASKED), dict):
                said[prompts.ASKED] = prompts.shown(self.masker, said[prompts.ASKED], function_id, event)
            waited = json.dumps(said, ensure_ascii=False)
        return replace(step, memo=memo, waited=waited) if (memo, waited) != (step.memo, step.waited) else step

    def attempt(self, attempt: Attempt, function_id: str | None, event: str | None = None) -> Attempt:
        """Give a failed attempt as they see it."""
        asked = prompts.in_error(attempt.error) if self.masker or MARKER in attempt.error else None
        error = self.error(attempt.error if asked is None else prompts.without(attempt.error), function_id, event)
        if asked is not None and error is not None:
            error = prompts.with_error(error, json.dumps(prompts.shown(self.masker, asked, function_id, event)))
        return attempt if error == attempt.error or error is None else replace(attempt, error=error)

    def wait(self, wait: Wait) -> Wait:
        """Give a wait as they see it."""
        return replace(wait, expression=self.expression(wait.expression)) if self.masker else wait

    def expression(self, text: str | None) -> str | None:
        """Give an expression as they see it. Its literals may come from an event, from wherever in it."""
        if text is None or not self.masker:
            return text
        if self.masker.hides("data") or self.masker.hides("user"):
            return _LITERAL.sub(f'"{REDACTED}"', text)
        return self.masker.text(text)

    def job(self, job: Job) -> Job:
        """Give a job as they see it: what steps are to be called with stands nowhere that a path leads to."""
        if not self.masker or job.opts is None:
            return job
        kept = json.loads(job.opts)
        for name in ("input", "inputs", "signature"):
            if name in kept:
                kept[name] = REDACTED
        return replace(job, opts=json.dumps(self.masker.value(kept, "output", None)))

    def details(self, details: Details, function_id: str | None, event: str | None = None) -> Details:
        """Give a run from the inside as they see it."""
        return Details(
            [self.step(step, function_id, event) for step in details.steps],
            [self.attempt(attempt, function_id, event) for attempt in details.attempts],
            [self.job(job) for job in details.jobs],
            {key: self.wait(wait) for key, wait in details.waits.items()},
        )

    def history(self, history: History) -> History:
        """Give all that is known of a run as they see it."""
        event = None if history.event is None else history.event.name
        function_id = history.run.function_id
        return History(
            run=self.run(history.run, event),
            event=history.event and self.event(history.event),
            steps=[self.step(step, function_id, event) for step in history.steps],
            attempts=[self.attempt(attempt, function_id, event) for attempt in history.attempts],
            jobs=history.jobs,
            waits=[self.wait(wait) for wait in history.waits],
        )


# For what is handed out whole on purpose. Secrets are not, to anybody.
AS_STORED = Eyes(Masker(()))


def masked_data(masker: Masker, name: str, data: Any) -> Any:
    """Mask an event's data in place. What tells of a run's end holds its event and its result: their rules hold."""
    if name in (FINISHED, FAILED, CANCELLED) and isinstance(data, dict):
        function_id, started_by = data.get("function_id"), data.get("event")
        event = started_by.get("name") if isinstance(started_by, dict) else None
        for told in [started_by, *(data.get("events") or ())]:
            masked_told(masker, told)
        for key, place in (("result", "output"), ("error", "error")):
            if key in data:
                data[key] = masker.value(data[key], place, event, function_id)  # type: ignore[arg-type]
    return masker.value(data, "data", name)


def masked_told(masker: Masker, told: Any) -> Any:
    """Mask in place an event as it stands on the wire."""
    if not isinstance(told, dict):
        return told
    name = str(told.get("name"))
    if "data" in told:
        told["data"] = masked_data(masker, name, told["data"])
    if "user" in told:
        told["user"] = masker.value(told["user"], "user", name)
    if isinstance(told.get("id"), str):
        told["id"] = masker.text(told["id"], name)
    return told


def masked_memo(masker: Masker, memo: Any, op: str, function_id: str | None, event: str | None) -> Any:
    """Mask in place what a step has given: ``{data}``, ``{error}``, an event as it stands on the wire, or null."""
    if op == Opcode.WAIT_FOR_EVENT.value:
        return masked_told(masker, memo)
    if isinstance(memo, dict) and memo.keys() == {"data"}:
        return {"data": masker.value(memo["data"], "output", event, function_id)}
    if isinstance(memo, dict) and memo.keys() == {"error"}:
        return {"error": masker.value(memo["error"], "error", event, function_id)}
    return masker.value(memo, "output", event, function_id)
