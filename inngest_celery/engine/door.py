"""What is masked before anything is stored: nobody ever sees it, functions neither.

All that comes in passes here: events where they become rows, and what steps and functions give, or fail with, where it
becomes a report. Rows and reports are changed in place, so that whoever goes on with them has no more than is stored.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from inngest_celery.engine import prompts
from inngest_celery.engine.report import Failure, Outcome, Report
from inngest_celery.engine.viewing import masked_data, masked_memo
from inngest_celery.masking import Masker, Rule
from inngest_celery.store.changes import Changes
from inngest_celery.store.defers import ADD, SCHEDULE
from inngest_celery.store.rows import Event

# What only we write.
_OURS = "_inngest"


@dataclass(frozen=True, slots=True)
class Door:
    """The rules for what is stored.

    Attributes:
        masker: of the rules with ``at="store"``.
        ids: of the same, with the pattern alone and as hashes: two ids that differ have to differ still.
    """

    masker: Masker
    ids: Masker

    def event(self, event: Event) -> None:
        """Mask an event."""
        if not self.masker:
            return
        data = json.loads(event.data)
        ours = data.pop(_OURS, None)
        data = masked_data(self.masker, event.name, data)
        if ours is not None:
            data[_OURS] = ours
        event.data = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
        event.external_id = self.ids.text(event.external_id, event.name)
        if event.extra is not None:
            extra = json.loads(event.extra)
            if "user" in extra:
                event.extra = json.dumps({**extra, "user": self.masker.value(extra["user"], "user", event.name)})

    def outcome(self, outcome: Outcome, function_id: str, event: str | None) -> Outcome:
        """Mask what an attempt at a step gave, or failed with."""
        if self.masker:
            if outcome.failure is not None:
                self.failure(outcome.failure, function_id, event)
            if outcome.memo is not None:
                outcome.memo = self.memo(outcome.memo, outcome.op.value, function_id, event)
            if outcome.asked is not None:
                outcome.asked = prompts.masked(self.masker, outcome.asked, function_id, event)
            for emitted in outcome.emits:
                self.event(emitted)
        return outcome

    def report(self, report: Report, function_id: str, event: str | None) -> Report:
        """Mask what a call of a function came to."""
        if self.masker:
            for outcome in report.outcomes:
                self.outcome(outcome, function_id, event)
            if report.failure is not None:
                self.failure(report.failure, function_id, event)
            if report.output is not None:
                report.output = self.masker.output(report.output, event, function_id)
            for put_off in report.defers:
                if put_off.kind == ADD and put_off.expression is not None:
                    kept = json.loads(put_off.expression)
                    kept["data"] = masked_data(self.masker, SCHEDULE, kept["data"])
                    put_off.expression = json.dumps(kept, ensure_ascii=False)
        return report

    def changes(self, changes: Changes) -> Changes:
        """Mask the events of a checkpoint; all else of it was masked before it was decided on."""
        if self.masker:
            for event in changes.events:
                self.event(event)
        return changes

    def memo(self, text: str, op: str, function_id: str, event: str | None) -> str:
        """Mask what a step is to be remembered by."""
        if not self.masker:
            return text
        memo = masked_memo(self.masker, json.loads(text), op, function_id, event)
        # Whether a step has failed is told by how this begins.
        return json.dumps(memo, ensure_ascii=False, separators=(",", ":"))

    def failure(self, failure: Failure, function_id: str, event: str | None) -> None:
        """Mask an error."""
        if not self.masker:
            return
        error: dict[str, Any] = json.loads(failure.to_json())
        shown = self.masker.value(error, "error", event, function_id)
        failure.message = str(shown.get("message") or "")
        failure.stack = shown.get("stack")
        if failure.raw is not None:
            failure.raw = json.dumps(shown, ensure_ascii=False)

    def given(self, values: Any) -> Any:
        """Mask what patterns find in the arguments of a step; changes parsed JSON in place."""
        return self.masker.value(values, "output", None)


def door_of(rules: list[Rule], key: bytes | None) -> Door:
    """Give the door for rules; they may be of all kinds."""
    stored = [rule for rule in rules if rule.at == "store"]
    # Nobody can turn a hash without a key back by trying, if the key is known to nobody.
    of_ids = [
        rule.model_copy(update={"as_": "hash"}) for rule in stored if rule.pattern is not None and rule.path is None
    ]
    return Door(Masker(stored, key, strict=True), Masker(of_ids, key or b"inngest_celery", strict=True))
