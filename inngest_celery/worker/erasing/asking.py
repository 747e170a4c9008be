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
from inngest_celery.settings import Settings, SettingsError
from inngest_celery.store.listing import Order
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
        return hmac.new(key_of(settings), self.where.encode(), hashlib.sha256).hexdigest()


def key_of(settings: Settings) -> bytes:
    """Give the key that hashes of persons' data are made with.

    Raises:
        SettingsError: there is none (code ``subject_key_missing``).
    """
    secret = settings.subject_key or settings.signing_key
    if not secret:
        raise SettingsError(
            "Hashes of whose data it is need a key, so that nobody can guess it from them: set inngest_subject_key to "
            "a long random text, such as that of `openssl rand -hex 32`, and keep it.",
            code="subject_key_missing",
        )
    return hashlib.sha256(b"inngest subject\0" + secret.encode()).digest()


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
    """Give the ids of the events and runs of which it is true. Each that there is is looked at, a slice at a time."""
    event_ids: set[str] = set()
    run_ids: set[str] = set()
    looked_at = 0
    for part, count, _ in event_slices(runtime, EventSelection(internal=True, where=asked.where)):
        event_ids.update(event.id for event in part)
        looked_at += count
        show(looked_at)
    for chosen in slices(runtime, Selection(where=asked.where), Order(descending=False)):
        holds = condition(asked.where)
        assert holds is not None
        # What its event alone says is found by the event; here it is what the run says itself.
        run_ids.update(run.id for run in chosen.runs if holds(variables_of(run, chosen.events.get(run.event_id))))
        looked_at += chosen.looked_at
        show(looked_at)
    return event_ids, run_ids
