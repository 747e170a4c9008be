"""Retention as a chore of the worker that sweeps: now and then, a bounded number of short transactions."""

from __future__ import annotations

import time

from inngest_celery.worker.chores import NotYet
from inngest_celery.worker.keeping import ending
from inngest_celery.worker.keeping.periods import Periods
from inngest_celery.worker.keeping.plan import KeepPlan, plan_of
from inngest_celery.worker.runtime import Runtime

EVERY_S = 60.0
MOST_S = 10.0


class Retention:
    """What the worker that sweeps does for it.

    Args:
        runtime: of the app.
        every_s: how often it looks, in seconds.
    """

    def __init__(self, runtime: Runtime, every_s: float = EVERY_S) -> None:
        self._runtime = runtime
        self._every_s = every_s
        self._next = 0.0
        self._give_up_at = 0.0
        self._left: list[tuple[str, int]] = []
        self._plan: KeepPlan | None = None
        self._periods = Periods(runtime)

    @property
    def is_due(self) -> bool:
        """Whether it is time to look. Never, where there are no rules."""
        return bool(self._runtime.settings.retention) and time.monotonic() >= self._next

    def begin(self) -> None:
        """Begin to look; :meth:`go_on` then does it."""
        self._next = time.monotonic() + self._every_s
        self._give_up_at = time.monotonic() + MOST_S
        self._plan = None

    def go_on(self) -> None:
        """Do one transaction.

        Raises:
            NotYet: there is more to do.
        """
        if self._plan is None:
            self._plan = plan_of(self._runtime)
            self._left = ending.lengths(self._plan)
            self._periods.begin(self._plan)
        if self._periods.more:
            self._periods.go_on(self._plan)
        elif self._left and not self._walk(self._plan, *self._left[0]):
            self._left.pop(0)
        if (self._left or self._periods.more) and time.monotonic() < self._give_up_at:
            raise NotYet

    def _walk(self, plan: KeepPlan, what: str, length: int) -> bool:
        """Go on with a walk; false if it has come to its end."""
        return ending.go_on(self._runtime, plan, what, length, self._periods.wait_for).more
