"""Rows as values. Field names are column names; JSON columns are text here, read where they are needed."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any


class RunStatus(enum.IntEnum):
    """Sortable codes, the same as the official ones."""

    SCHEDULED = 100
    RUNNING = 200
    COMPLETED = 300
    FAILED = 400
    CANCELLED = 500
    SKIPPED = 600

    @property
    def ended(self) -> bool:
        return self >= RunStatus.COMPLETED


class JobKind(enum.StrEnum):
    """What a job asks of a worker.

    ``START`` calls the function from the top. ``STEP`` runs a planned step's body. ``SLEEP`` and ``TIMEOUT`` are steps
    whose result is that time has passed. ``RESUME`` goes on after a step whose result somebody else recorded.
    ``ROUTE`` matches an event, ``CRON`` ticks, ``DEADLINE`` cancels an overdue run, ``DELIVER`` hands a run's result to
    the Celery canvas that it was started from. ``DEBOUNCE`` and ``BATCH`` start the run of events that were put off.
    ``TASK`` is a limited Celery task's message that waits for its turn. ``CANCEL`` cancels many runs. ``CELERY`` is a
    step that a Celery task of other code carries out: it sends the task, then asks how it goes. ``REVOKE`` revokes
    such tasks of a run that has ended.
    """

    START = "start"
    STEP = "step"
    SLEEP = "sleep"
    TIMEOUT = "timeout"
    RESUME = "resume"
    ROUTE = "route"
    CRON = "cron"
    DEADLINE = "deadline"
    DELIVER = "deliver"
    DEBOUNCE = "debounce"
    BATCH = "batch"
    TASK = "task"
    CANCEL = "cancel"
    CELERY = "celery"
    REVOKE = "revoke"


@dataclass(slots=True)
class Event:
    id: str
    name: str
    external_id: str
    data: str
    ts: int
    received_at: int
    extra: str | None = None


@dataclass(slots=True)
class Run:
    id: str
    function_id: str
    event_id: str
    idempotency_key: str | None
    status: int
    created_at: int
    reason: str | None = None
    started_at: int | None = None
    ended_at: int | None = None
    output: str | None = None
    parent_run_id: str | None = None
    parent_step_id: str | None = None
    celery: str | None = None
    singleton_key: str | None = None
    batch: int | None = None
    original_run_id: str | None = None


@dataclass(slots=True)
class Step:
    """A step's recorded outcome.

    ``seq`` counts the outcomes of a run from 1, in the order in which they were recorded; 0 in rows from before that.
    ``waited`` says of a sleep or wait until when it would have lasted (``until``), for what (``event``, ``if``), and
    which event it ended with (``answer``); of a step that has asked a model, with what (``asked``).
    """

    run_id: str
    id: str
    name: str
    op: str
    memo: str
    failed: bool
    attempt: int
    queued_at: int
    started_at: int
    ended_at: int
    worker: str | None = None
    task_id: str | None = None
    seq: int = 0
    waited: str | None = None


@dataclass(slots=True)
class Attempt:
    run_id: str
    step_id: str
    job_key: str
    fence: int
    attempt: int
    name: str
    error: str
    started_at: int
    ended_at: int
    retry_at: int | None
    worker: str | None = None
    task_id: str | None = None


@dataclass(slots=True)
class Job:
    subject_id: str
    key: str
    kind: JobKind
    name: str
    function_id: str
    task_name: str
    queue: str
    created_at: int
    due_at: int
    sweep_at: int
    opts: str | None = None
    flow: str | None = None
    hints: int = 0
    attempt: int = 0
    leased_by: str | None = None
    leased_until: int | None = None
    fence: int = 0
    message: str | None = None


@dataclass(slots=True)
class Wait:
    run_id: str
    key: str
    kind: str
    name: str
    event_name: str
    anchor: str
    expression: str | None
    created_at: int
    expires_at: int
    paths: list[str] = field(default_factory=list)
    seen: int = 0


@dataclass(slots=True)
class Cost:
    """What one step has cost of one budget, and when that was recorded."""

    run_id: str
    step_id: str
    budget: str
    amount: float
    at: int


def values(row: Any) -> dict[str, Any]:
    """Give a row's columns, enumerations as their values; ``Wait.paths`` belongs to the topic, not to the row."""
    result = {}
    # With slots, these are the fields; asking the dataclass for them takes longer than all the rest.
    for name in row.__slots__:
        if name == "paths":
            continue
        value = getattr(row, name)
        result[name] = value.value if isinstance(value, enum.Enum) else value
    return result
