"""What retention would delete now, rule by rule, with nothing deleted."""

from __future__ import annotations

from dataclasses import dataclass

from inngest_celery.keeping import KeepRule, for_event
from inngest_celery.store import aged, holds, partitions
from inngest_celery.store.aged import Aged, Group
from inngest_celery.worker.keeping.periods import Outlook, ended, outlook
from inngest_celery.worker.keeping.plan import KeepPlan, plan_of
from inngest_celery.worker.runtime import Runtime


@dataclass(slots=True)
class Due:
    """What one rule would delete.

    Attributes:
        events: those that have started its runs and nothing else, or nothing at all; at the most.
        oldest: when the oldest of the runs ended, or the oldest event came, in milliseconds; ``None`` if there is none.
    """

    rule: KeepRule
    runs: int = 0
    steps: int = 0
    events: int = 0
    oldest: int | None = None

    def add(self, group: Group) -> None:
        self.runs += group.runs
        self.steps += group.steps
        self.events += group.events
        self.oldest = group.oldest if self.oldest is None else min(self.oldest, group.oldest)


def preview(runtime: Runtime) -> tuple[list[Due], int, list[Outlook]]:
    """Say what each rule would delete now, how many holds there are, whose runs are counted with the others, and which
    periods of partitioned tables would go as wholes.

    It looks at every run that is old enough for some rule: not for every minute, where there are many.
    """
    plan, now = plan_of(runtime), runtime.clock.now()
    found = {rule: Due(rule) for rule in plan.rules}
    with runtime.database.autocommit() as connection:
        for length in plan.run_lengths():
            for group in aged.counted_runs(connection, now - length, with_names=plan.by_event):
                rule = _of_runs(plan, group, length)
                if rule is not None:
                    found[rule].add(group)
        for length in plan.event_lengths():
            for group in aged.counted_events(connection, now - length):
                rule = for_event(plan.rules, group.event_name or "")
                if rule is not None and rule.keep_ms == length:
                    found[rule].add(group)
        held = len(holds.active(connection))
        looks = [outlook(connection, plan, period) for period in ended(partitions.look(connection), now)]
    due = [each for each in looks if each.due_at is not None and each.due_at <= now and each.runs + each.events]
    return list(found.values()), held, due


def _of_runs(plan: KeepPlan, group: Group, length: int) -> KeepRule | None:
    run = Aged("", 0, group.event_name, group.function_id, group.status)
    return plan.rule_of(run) if plan.keeps(run) == length else None
