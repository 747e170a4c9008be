"""Flow control on the worker's side: which due jobs may have a hint, and which of those that have one may begin.

The gate in Redis says whose turn it is; what there is to do stands in the database. Whatever the gate calls and this
process does not know is looked up there first: a job that is gone, or in somebody's hands, leaves the line.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import redis

from inngest_celery.crash import crash_point
from inngest_celery.engine import policies
from inngest_celery.engine.spec import read_spec
from inngest_celery.flow.gate import Answer, Gate, Lost, Operation, Unknown
from inngest_celery.flow.places import Place, name_of, place_of_job
from inngest_celery.flow.rates import RateLimits
from inngest_celery.store import functions, limits
from inngest_celery.store.rows import Cost, Job
from inngest_celery.worker import restoring

if TYPE_CHECKING:
    from inngest_celery.worker.handoff import Handoff
    from inngest_celery.worker.runtime import Runtime

logger = logging.getLogger(__name__)

_ATTEMPTS = 3


@dataclass(slots=True)
class Slot:
    """The places that this process holds while it works on a job.

    Attributes:
        place: the job's.
        owner: under whose name they are held.
        runs: the resources in which the run has a place, until it ends.
        until: when they are free again, unless they are prolonged, in milliseconds.
        over_budget: whether the run has to end, because a budget is spent.
        held: whether they are held still.
        handoff: what takes a job for this task to go on with when they are given up.
        guard: taken to prolong them, and to give them up: what was given up must not be taken again.
    """

    place: Place
    owner: str
    runs: list[str]
    until: int
    over_budget: bool = False
    held: bool = True
    handoff: Handoff | None = None
    guard: threading.Lock = field(default_factory=threading.Lock)


class Admission:
    """Asks the gate, for one process."""

    def __init__(self, runtime: Runtime, gate: Gate) -> None:
        self._runtime = runtime
        self.gate = gate
        # Whether jobs were not put in line, because Redis did not answer.
        self.left_out = False
        # To the gate all threads of a process are one. A job's second message must not take the places of the first.
        self._begun: set[str] = set()
        self._guard = threading.Lock()

    def admit(
        self, jobs: Sequence[Job], ends: Slot | None = None, *, run_ended: bool = False, costs: Sequence[Cost] = ()
    ) -> list[Job]:
        """Give the jobs to send hints for: those of these that may go, and others whose turn has come.

        Args:
            jobs: due now or soon, and in nobody's hands.
            ends: what this process held until now; given up in the same round trip.
            run_ended: whether its run has ended, too.
            costs: what its steps have cost, as it was recorded.
        """
        now = self._runtime.clock.now()
        operations: dict[str, list[Operation]] = {}
        known: dict[str, Job] = {}
        free = []
        for job in jobs:
            # One that is due later asks when its time has come, and holds nothing until then.
            if job.flow is None or job.due_at > now:
                free.append(job)
                continue
            place = place_of_job(job)
            known[place.job] = job
            # Whoever held it has let its lease run out; the sweep has taken it up.
            dead = job.leased_until is not None
            operations.setdefault(place.tag, []).append(["enter", place.job, place.line, place.score, dead])
        if ends is not None:
            mine = operations.setdefault(ends.place.tag, [])
            # Before others are called: the same run's next step has its place in line by then. But a job that is to be
            # done again at once lets go of its places first.
            again = [operation for operation in mine if operation[1] == ends.place.job]
            mine[:] = [operation for operation in mine if operation not in again]
            mine += [*_spending(ends, costs), *_ending(ends, run_ended), *again]
        with ends.guard if ends is not None else nullcontext():
            for tag, wanted in operations.items():
                free += self._called(tag, wanted, known)
            if ends is not None:
                self._given_up(ends)
        crash_point("gate_entered" if ends is None else "gate_released")
        return free

    def begin(self, place: Place, runs: list[str]) -> tuple[Slot | None, list[Job]]:
        """Take the places of a job whose message has come.

        Args:
            place: the job's.
            runs: the resources in which its run has a place.

        Returns:
            What is held now, or ``None`` if the job has to wait or is in other hands; and jobs to send hints for.
        """
        with self._guard:
            if place.job in self._begun:
                return None, []
            self._begun.add(place.job)
        slot: Slot | None = None
        try:
            slot, others = self._begin(place, runs)
        except redis.RedisError as error:
            _tell_unavailable(error, [place.job])
            return None, []
        finally:
            if slot is None:
                self._begun.discard(place.job)
        return slot, others

    def _begin(self, place: Place, runs: list[str]) -> tuple[Slot | None, list[Job]]:
        owner, lease = self._runtime.worker_name, self._runtime.settings.lease_ms
        until = self._runtime.clock.now() + lease
        answer = self.do(place.tag, [["begin", place.job, place.line, place.score, owner, lease]])
        crash_point("gate_begun")
        slot = None
        if answer.answers[0] in ("ok", "over"):
            slot = Slot(place, owner, runs, until, over_budget=answer.answers[0] == "over")
        return slot, self._look_up(place.tag, answer.called, {})

    def decline(self, slot: Slot) -> list[Job]:
        """Give up the places of a job with which this process has not come to a checkpoint.

        Its message came late, or twice; or its lease was lost.

        Returns:
            The jobs to send hints for.
        """
        subject_id, key = _parts(slot.place.job)
        now = self._runtime.clock.now()
        with self._runtime.database.autocommit() as connection:
            found = limits.find_jobs(connection, [(subject_id, key)])
            run_ended = not limits.unended(connection, [subject_id])
        operations = _ending(slot, run_ended)
        if found and found[0].leased_by not in (None, slot.owner) and (found[0].leased_until or 0) > now:
            # Another one executes it. The gate has not heard of that, or has forgotten it.
            operations = [["pass", slot.place.job, slot.owner, found[0].leased_by, found[0].leased_until]]
        with slot.guard:
            jobs = self._called(slot.place.tag, operations, {})
            self._given_up(slot)
        return jobs

    def _given_up(self, slot: Slot) -> None:
        # Told once. If Redis did not hear it, the lease there runs out.
        slot.held = False
        self._begun.discard(slot.place.job)

    def forget(self, place: Place) -> list[Job]:
        """Take a job out of the line that is not to be done any more; give jobs to send hints for."""
        return self._called(place.tag, [["forget", place.job, place.line]], {})

    def bury(self, tag: str, owner: str) -> list[Job]:
        """Give up all places of a process that is gone; give jobs to send hints for."""
        return self._called(tag, [["bury", owner]], {})

    def hold(self, slot: Slot, job: Job | None, *, lost: bool) -> None:
        """Prolong what this process holds. A slot goes on with the job that its run has come to, if it has any.

        Args:
            job: what is executed.
            lost: whether its lease in the database is lost. Then the places are kept while it is executed, if they
                were not given to others, but not taken anew.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        until = self._runtime.clock.now() + self._runtime.settings.lease_ms
        with slot.guard:
            if not slot.held:
                return
            before, place = slot.place, slot.place
            if job is not None and before.job != _name(job):
                place = place_of_job(job)
            operations: list[Operation] = [["hold", place.job, place.line, place.score, slot.owner, until]]
            if lost:
                operations = [["prolong", before.job, slot.owner, until]]
            elif place is not before:
                # Held anew under the name that the database has, so that both come to the same count.
                operations.append(["release", before.job, slot.owner])
                slot.place = place
                self._begun.discard(before.job)
                self._begun.add(place.job)
            self.do(place.tag, operations)
            slot.until = until

    def tick(self) -> tuple[list[Job], int | None]:
        """Do what has become due by the clock alone.

        Returns:
            The jobs to send hints for, and when to come again at the latest, in milliseconds.
        """
        now = self._runtime.clock.now()
        due = self.gate.due(now)
        if due is None:
            return self._restore_all(), None
        tags, later = due
        jobs = []
        for tag in tags:
            self.gate.seen_to(tag, now)
            jobs += self._called(tag, [*self._runs_that_ended(tag), ["tick"]], {})
        return jobs, later

    def refresh(self) -> list[Job]:
        """Tell the gate what the functions' code and operators say now; give jobs to send hints for."""
        database, now = self._runtime.database, self._runtime.clock.now()
        with database.transaction() as connection:
            limits.drop_expired(connection, now)
        with database.autocommit() as connection:
            set_ones = {
                each.function_id: each.config
                for each in limits.set_limits(connection, now)
                if each.policy == policies.RATE_LIMIT
            }
            rated = [row.id for row in functions.all_of(connection) if read_spec(row.config).rate_limit is not None]
        for function_id in rated:
            self._rates.set(function_id, set_ones.get(function_id), now)
        jobs = []
        for tag, operations in restoring.definitions(database, now).items():
            jobs += self._called(tag, operations, {})
        return jobs

    def changed(self, function_id: str, policy: str, config: str | None) -> list[Job]:
        """Let one limit hold that an operator has set, or none but the code's; give jobs to send hints for."""
        with self._runtime.database.autocommit() as connection:
            function = functions.get(connection, function_id)
        if policy == policies.RATE_LIMIT:
            self._rates.set(function_id, config, self._runtime.clock.now())
            return []
        tag = policies.tag_of(read_spec(function.config)) if function else function_id
        return self._called(tag, [["set", name_of(function_id), policy, config or False]], {})

    @property
    def _rates(self) -> RateLimits:
        return RateLimits(self.gate.client, self.gate.prefix)

    def do(self, tag: str, operations: Sequence[Operation]) -> Answer:
        """Carry out operations; what Redis does not know is told it first.

        Raises:
            redis.RedisError: Redis does not answer, or forgets faster than it can be told.
        """
        restored: list[str] = []
        for _ in range(_ATTEMPTS):
            try:
                answer = self.gate.do(tag, self._runtime.clock.now(), operations)
            except Lost:
                restored += restoring.restore(self._runtime, self.gate, tag)
            except Unknown as unknown:
                restoring.describe(self._runtime, self.gate, tag, str(unknown.args[0]))
            else:
                return Answer([*restored, *(name for name in answer.called if name not in restored)], answer.answers)
        raise redis.RedisError(f"Redis has lost the limits of {tag} again and again")

    def _called(self, tag: str, operations: list[Operation], known: dict[str, Job]) -> list[Job]:
        try:
            answer = self.do(tag, operations)
            return self._look_up(tag, answer.called, known)
        except redis.RedisError as error:
            waiting = [operation[1] for operation in operations if operation[0] == "enter"]
            self.left_out = self.left_out or bool(waiting)
            _tell_unavailable(error, waiting)
            return []

    def _look_up(self, tag: str, called: Sequence[str], known: dict[str, Job]) -> list[Job]:
        """Give the called jobs that are there to be done; take the others out of the line, and see who is next."""
        jobs: list[Job] = []
        while called:
            strange = [_parts(name) for name in called if name not in known]
            with self._runtime.database.autocommit() as connection:
                rows = {_name(job): job for job in limits.find_jobs(connection, strange)} if strange else {}
            now = self._runtime.clock.now()
            in_vain: list[Operation] = []
            dead = False
            for name in called:
                job = known.get(name) or rows.get(name)
                if job is None or job.due_at > now:
                    in_vain.append(["forget", name, False])
                    dead = dead or job is None
                elif name not in known and job.leased_by is not None and (job.leased_until or 0) > now:
                    place = place_of_job(job)
                    in_vain.append(["hold", name, place.line, place.score, job.leased_by, job.leased_until])
                else:
                    job.leased_by = None
                    jobs.append(job)
            if dead:
                # Whoever ended it could not say so, of its run neither.
                in_vain += self._runs_that_ended(tag)
            called = self.do(tag, in_vain).called if in_vain else []
        return jobs

    def _runs_that_ended(self, tag: str) -> list[Operation]:
        """Give up the places of runs that ended where nobody told the gate."""
        found: list[Operation] = []
        for resource in self.gate.waited_for(tag):
            if "run_concurrency" not in resource:
                continue
            members = self.gate.members(tag, resource)
            with self._runtime.database.autocommit() as connection:
                alive = limits.unended(connection, members)
            found += [["leave", member, resource] for member in members if member not in alive]
        return found

    def _restore_all(self) -> list[Job]:
        jobs: list[Job] = []
        for tag in restoring.definitions(self._runtime.database, self._runtime.clock.now()):
            jobs += self._called(tag, [["tick"]], {})
        self.gate.mark()
        return jobs


def _spending(slot: Slot, costs: Sequence[Cost]) -> list[Operation]:
    name = slot.place.line.partition("\n")[0]
    return [
        ["spend", name_of(cost.budget), name, f"{cost.run_id}/{cost.step_id}", cost.amount, cost.at] for cost in costs
    ]


def _ending(slot: Slot, run_ended: bool) -> list[Operation]:
    operations: list[Operation] = [["release", slot.place.job, slot.owner]]
    if run_ended:
        run_id, _ = _parts(slot.place.job)
        operations += [["leave", run_id, resource] for resource in slot.runs]
    return operations


def _name(job: Job) -> str:
    return f"{job.subject_id}/{job.key}"


def _parts(name: str) -> tuple[str, str]:
    subject_id, _, key = name.partition("/")
    return subject_id, key


def _tell_unavailable(error: Exception, waiting: list[Any]) -> None:
    logger.warning(
        "Redis does not answer (%s). Limits cannot be kept without it: what they concern waits until it is back.",
        error,
        extra={"action": "flow_unavailable", "jobs": waiting},
    )
