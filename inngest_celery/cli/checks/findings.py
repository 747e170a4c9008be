"""What a check is given, and what it gives."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from celery import Celery

from inngest_celery.settings import Settings
from inngest_celery.store.functions import FunctionRow
from inngest_celery.worker.runtime import Runtime


class Level(enum.StrEnum):
    """How bad it is: a ``PROBLEM`` stops or breaks runs; a ``WARNING`` may; a ``NOTE`` is good to know."""

    PROBLEM = "problem"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        code: stable.
        text: what it is.
        advice: what to do about it.
    """

    level: Level
    code: str
    text: str
    advice: str


@dataclass(frozen=True, slots=True)
class Workers:
    """What the workers that answered say of themselves, by their names."""

    queues: Mapping[str, frozenset[str]] = field(default_factory=dict)
    tasks: Mapping[str, frozenset[str]] = field(default_factory=dict)
    pools: Mapping[str, str] = field(default_factory=dict)

    @property
    def all_queues(self) -> frozenset[str]:
        return frozenset().union(*self.queues.values())

    @property
    def all_tasks(self) -> frozenset[str]:
        return frozenset().union(*self.tasks.values())


@dataclass(frozen=True, slots=True)
class Deployment:
    """What the checks look at.

    Attributes:
        broker_up: whether the broker answers.
        migrated: whether the database answers and has its tables.
        workers: those that answered; empty where the broker is not there to ask them.
        registered: the functions that the database knows.
        declared: the functions that the code has.
    """

    app: Celery
    runtime: Runtime
    settings: Settings
    broker_up: bool
    migrated: bool
    workers: Workers
    registered: Mapping[str, FunctionRow]
    declared: Mapping[str, FunctionRow]

    @property
    def conf(self) -> Any:
        return self.app.conf


Check = Callable[[Deployment], Iterable[Finding]]


def problem(code: str, text: str, advice: str) -> Finding:
    return Finding(Level.PROBLEM, code, text, advice)


def warning(code: str, text: str, advice: str) -> Finding:
    return Finding(Level.WARNING, code, text, advice)


def note(code: str, text: str, advice: str) -> Finding:
    return Finding(Level.NOTE, code, text, advice)
