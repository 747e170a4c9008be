"""What the rules mean for the functions that there are: which lengths of time count, and what each of them ends."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from inngest_celery.engine.spec import read_spec
from inngest_celery.keeping import KeepRule, for_event, for_run
from inngest_celery.store import functions
from inngest_celery.store.aged import Aged
from inngest_celery.store.functions import FunctionRow
from inngest_celery.worker.runtime import Runtime


@dataclass(frozen=True, slots=True)
class KeepPlan:
    """The rules, and what else counts. Lengths of time are milliseconds.

    Attributes:
        budgets: for how long what a function's runs have cost counts; a run is not deleted before.
    """

    rules: tuple[KeepRule, ...]
    budgets: Mapping[str, int] = field(default_factory=dict)

    @property
    def by_event(self) -> bool:
        """Whether some rule goes by the names of events."""
        return any(rule.event is not None for rule in self.rules)

    @property
    def version(self) -> str:
        """A hash of all that it goes by."""
        told = [[rule.model_dump() for rule in self.rules], sorted(self.budgets.items())]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def run_lengths(self) -> list[int]:
        """Give the lengths after which some runs are deleted."""
        least = [rule.keep_ms for rule in self.rules if rule.keep_ms is not None]
        return sorted({max(keep, more) for keep in least for more in (0, *self.budgets.values())})

    def event_lengths(self) -> list[int]:
        """Give the lengths after which some events are deleted that have started nothing, or nothing that is left."""
        found = (rule.keep_ms for rule in self.rules if rule.event is not None and rule.status is None)
        return sorted({keep for keep in found if keep is not None})

    def rule_of(self, run: Aged) -> KeepRule | None:
        """Give the rule that counts for a run."""
        return for_run(self.rules, run.function_id, run.event_name, run.status.name.lower())

    def keeps(self, run: Aged) -> int | None:
        """Give for how long a run is kept after its end; ``None`` for ever."""
        rule = self.rule_of(run)
        if rule is None or rule.keep_ms is None:
            return None
        return max(rule.keep_ms, self.budgets.get(run.function_id, 0))

    def may_go(self, name: str, received_at: int, now: int) -> bool:
        """Tell whether an event may be deleted with the last of its runs."""
        rule = for_event(self.rules, name)
        if rule is None:
            return True
        return rule.keep_ms is not None and received_at <= now - rule.keep_ms


def plan_of(runtime: Runtime) -> KeepPlan:
    """Give what holds now."""
    with runtime.database.autocommit() as connection:
        return plan_for(runtime.settings.retention, functions.all_of(connection))


def plan_for(rules: Sequence[KeepRule], registered: Iterable[FunctionRow]) -> KeepPlan:
    """Give what rules mean for functions."""
    specs = [read_spec(row.config) for row in registered]
    return KeepPlan(tuple(rules), {spec.id: spec.budget.period_ms for spec in specs if spec.budget is not None})
