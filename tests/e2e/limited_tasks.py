"""The app of limited tasks, called like a web process that has none of its code."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from celery.result import AsyncResult

from inngest_celery.store import schema
from inngest_celery.store.rows import JobKind
from tests.e2e.limited import LEASE, Limited
from tests.waiting import wait_until

APP = "tests.e2e.limited_tasks_app"
LONG = 60


class LimitedTasks(Limited):
    """As the limited app. ``backend`` says where results are."""

    def __init__(self, *places: Any, **settings: object) -> None:
        super().__init__(*places, app=APP, **settings)  # type: ignore[arg-type]

    def use_backend(self, url: str) -> None:
        self.environment["BACKEND"] = url
        self.celery.conf.result_backend = url

    def call(self, task: str, *args: Any, **options: Any) -> AsyncResult:
        """Call a task by its name."""
        return self.celery.send_task(task, args=args, **options)

    def waiting(self) -> list[str]:
        """Give the ids of the calls that wait for their turn."""
        query = sa.select(schema.job.c.subject_id).where(schema.job.c.kind == JobKind.TASK.value)
        return [row[0] for row in self.ask(query)]

    def wait_for_waiting(self, number: int) -> None:
        """Wait until so many calls wait for their turn."""
        wait_until(lambda: len(self.waiting()) == number, LONG, self.describe)

    def check_nothing_left(self, timeout: float = 3 * LEASE) -> None:
        """As for the limited app, once what the broker delivers again is done, too."""
        self.wait_for_waiting(0)
        super().check_nothing_left(timeout)

    def close_gate(self) -> None:
        """Let no body end."""
        self.gate.touch()

    def open_gate(self) -> None:
        self.gate.unlink()
