"""What an erasure, or an export of the same, is asked for: a subject's value, or an expression."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from inngest_celery.engine import expressions
from inngest_celery.engine.expressions import nodes
from inngest_celery.engine.searching import condition, variables_of
from inngest_celery.settings import Settings, require_subject_secret
from inngest_celery.store import events as event_rows
from inngest_celery.store.listing import Order, RunFilter
from inngest_celery.worker.erasing import indexing
from inngest_celery.worker.runtime import Runtime
from inngest_celery.worker.selecting import EventSelection, Selection, event_slices, slices

# Shorter texts are in too many others.
_LEAST_WORD = 4
Show = Callable[[int], None]


class SubjectUnknownError(LookupError):
    """No subject of this name is declared. ``code`` is ``subject_not_found``."""

    code = "subject_not_found"

    def __init__(self, name: str, known: list[str]) -> None:
        declared = f"declared are {', '.join(known)}" if known else "inngest_subjects declares none"
        super().__init__(
            f'{name!r} is no subject: {declared}. Declare it, as in {{"email": ["event.data.email"]}}, or use --where.'
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for.

    Attributes:
        where: an expression over ``event`` and ``output``.
        subject: the name of what it was asked by, if that is a declared subject.
        words: what stands in it as text, to be found in names.
    """

    where: str
    subject: str | None = None
    words: frozenset[str] = field(default_factory=frozenset)

    def hash(self, settings: Settings) -> str:
        """Give what tells the same request from others, and tells nobody without the key of the person."""
        return hmac.new(require_subject_secret(settings), self.where.encode(), hashlib.sha256).hexdigest()


def by_expression(where: str) -> Asked:
    """Ask for what an expression is true of.

    Raises:
        ExpressionError: it cannot be read, or is empty.
    """
    if not where.strip():
        raise expressions.ExpressionError(
            "expression_invalid", "it is empty", "write what is true of the person, such as event.data.id == 7"
        )
    condition(where)
    compiled = expressions.compile(where, names=frozenset({"event", "output", "error"}))
    return Asked(where, words=frozenset(_words(compiled.node)))


def by_subject(settings: Settings, name: str, value: str) -> Asked:
    """Ask for what is a subject's, at any of its declared places.

    Raises:
        SubjectUnknownError: no subject of this name is declared.
    """
    paths = settings.subjects.get(name)
    if not paths:
        raise SubjectUnknownError(name, sorted(settings.subjects))
    literals = [json.dumps(value, ensure_ascii=False)]
    if value.lstrip("-").isdigit():
        # What is a number in JSON comes as text from the command line.
        literals.append(value)
    where = " || ".join(f"{path} == {literal}" for path in paths for literal in literals)
    return dataclasses.replace(by_expression(where), subject=name)


def _words(node: Any) -> Iterator[str]:
    if isinstance(node, nodes.Literal):
        if isinstance(node.value, str) and len(node.value) >= _LEAST_WORD:
            yield node.value
    elif isinstance(node, tuple):
        for each in node:
            yield from _words(each)
    elif dataclasses.is_dataclass(node):
        # The keys of paths are no values.
        fields = (
            [node.target]
            if isinstance(node, nodes.Index)
            else [getattr(node, each.name) for each in dataclasses.fields(node)]
        )
        for each in fields:
            yield from _words(each)


def seeds(runtime: Runtime, asked: Asked, show: Show) -> tuple[set[str], set[str]]:
    """Give the ids of the events and runs of which it is true.

    Where an index says all of it they are found by that; else each that there is is looked at, a slice at a time.
    """
    indexed = indexing.found_by_index(runtime, asked.where)
    if indexed is not None:
        chosen = Selection(RunFilter(ids=indexed), where=asked.where)
        events = _true_events(runtime, asked.where, indexed)
        return events, {run.id for part in slices(runtime, chosen) for run in part.runs}
    event_ids: set[str] = set()
    run_ids: set[str] = set()
    looked_at = 0
    for found, count, _ in event_slices(runtime, EventSelection(internal=True, where=asked.where)):
        event_ids.update(event.id for event in found)
        looked_at += count
        show(looked_at)
    for part in slices(runtime, Selection(where=asked.where), Order(descending=False)):
        run_ids.update(run.id for run in part.runs)
        looked_at += part.looked_at
        show(looked_at)
    return event_ids, run_ids


def _true_events(runtime: Runtime, where: str, event_ids: set[str]) -> set[str]:
    holds = condition(where)
    assert holds is not None
    with runtime.database.autocommit() as connection:
        found = event_rows.several(connection, sorted(event_ids))
    return {event.id for event in found if holds(variables_of(None, event))}
