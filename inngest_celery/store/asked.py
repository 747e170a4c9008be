"""What the job of a step keeps that a Celery task of other code carries out, for whoever shows it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from inngest_celery.store.rows import Job, JobKind


@dataclass(frozen=True, slots=True)
class AskedTask:
    """A Celery task, or a canvas, that a run waits for.

    Attributes:
        task: its name; of a canvas, what it is made of.
        until: when the step gives it up, in milliseconds.
        id: its Celery id; ``None`` until it is sent.
        queue: where it, or its first task, was sent to.
    """

    task: str
    until: int
    id: str | None = None
    queue: str | None = None

    def __str__(self) -> str:
        where = "to be sent" if self.id is None else f"{self.id}, sent to the queue {self.queue}"
        return f"the Celery task {self.task} ({where})"


def asked_task(job: Job | None) -> AskedTask | None:
    """Give what a job looks after; ``None`` if that is no Celery task."""
    if job is None or job.kind is not JobKind.CELERY:
        return None
    kept = json.loads(job.opts or "{}")
    return AskedTask(kept["task"], kept["expires_at"], kept.get("task_id"), kept.get("queue"))
