"""A crowd of runs, workers that die, messages that get lost, limits that change; and what must hold all the while."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection
from typing import Any, TypeVar

from inngest_celery.flow.gate import Operation
from inngest_celery.flow.places import Place, name_of
from tests.flow.world import Dump, Spec, World, entering, needs_of

# Milliseconds; see throttle.lua.
EPSILON = 0.001
# Who does a job though nobody called it.
FORCED = "worker0"

Name = TypeVar("Name", bound=str)


class Crowd:
    """Does what it is told, checks after each time that all is well, and sees everybody home at the end.

    What it is told are three numbers; they choose among what there is at that moment.

    Attributes:
        waiting: jobs in line, or called and not begun.
        working: who does a job.
        dead: jobs whose worker has died, and the gate does not know it yet.
    """

    def __init__(self, world: World, specs: list[Spec]) -> None:
        self.world, self.specs = world, specs
        self.waiting: set[str] = set()
        self.working: dict[str, str] = {}
        self.dead: set[str] = set()
        self._runs: dict[str, tuple[Spec, str, int]] = {}
        self._started: dict[str, set[str]] = {}
        self._set: dict[tuple[str, str], tuple[dict[str, float], int | None]] = {}
        self._arrival: dict[str, tuple[float, float]] = {}
        self._spent: dict[str, list[tuple[int, float]]] = {}
        self._begun: dict[str, list[int]] = {}
        self._steady = True
        self._taken: set[str] = set()
        world.open(specs)
        self.before = world.dump()

    # What happens

    def start(self, name: int, key: int, score: int) -> None:
        run = f"run{len(self._runs):04}"
        self._runs[run] = (self.specs[name % len(self.specs)], "abc"[key % 3], score % 10)
        place = self._place(run, "start", starts=True)
        self.waiting.add(place.job)
        self.world.do(entering(place))

    def deliver(self, which: int, who: int, _: int) -> None:
        """A message reaches a worker."""
        if hints := self.world.hints:
            self._begin(hints.pop(which % len(hints)), who)

    def lose_message(self, which: int, *_: int) -> None:
        if hints := self.world.hints:
            hints.pop(which % len(hints))

    def stray_message(self, which: int, who: int, _: int) -> None:
        """A message comes once more: the job is in line, or in somebody's hands, or done long ago."""
        if job := _pick(self.world.places, which):
            self._begin(job, who)

    def sweep(self, which: int, *_: int) -> None:
        """The sweep finds a job due. If its worker has died, the run has started: the job needs less now."""
        job = _pick(self.waiting | self.dead, which)
        if not job:
            return
        if job in self.dead:
            self._place(*job.split("/"), starts=False)
        self.world.do(entering(self.world.places[job], dead=job in self.dead))

    def finish(self, which: int, how: int, _: int) -> None:
        """A worker is done with a job: its run ends, goes on in others' hands, or in the same."""
        job = _pick(self.working, which)
        if not job:
            return
        owner, run = self.working.pop(job), _run_of(job)
        if how % 3 == 0:
            self.world.do(["release", job, owner], *self._leaving(run))
            return
        step = self._place(run, f"step{len(self.world.places)}", starts=False)
        if how % 3 == 1:
            self.waiting.add(step.job)
            self.world.do(entering(step), ["release", job, owner])
        else:
            self.working[step.job] = owner
            self._taken.add(step.job)
            self.world.do(self.world.holding(step.job, owner), ["release", job, owner])

    def die(self, which: int, *_: int) -> None:
        if job := _pick(self.working, which):
            self.working.pop(job)
            self.dead.add(job)

    def force(self, which: int, *_: int) -> None:
        """A worker turns out to do a job that was not its turn."""
        if job := _pick(self.waiting, which):
            assert self.world.do(self.world.holding(job, FORCED)).answers == ["ok"]
            self.waiting.discard(job)
            self.working[job] = FORCED
            self._taken.add(job)

    def forget(self, which: int, *_: int) -> None:
        """A job is gone from the database, and its run with it."""
        if job := _pick(self.waiting, which):
            self.world.do(["forget", job, self.world.places[job].line], *self._leaving(_run_of(job)))
            self.waiting.discard(job)

    def forget_called(self, which: int, *_: int) -> None:
        """The same, by somebody who knows only its name."""
        if job := _pick(self.waiting & set(self.before.get("calls", ())), which):
            self.world.do(["forget", job, ""], *self._leaving(_run_of(job)))
            self.waiting.discard(job)

    def wait(self, ms: int, *_: int) -> None:
        self.world.now += 1 + 37 * (ms % 20)
        # Whoever is alive prolongs its lease meanwhile.
        for job, owner in self.working.items():
            self.world.do(self.world.holding(job, owner))
        self.world.look()

    def spend(self, name: int, key: int, amount: int) -> None:
        spec = self.specs[name % len(self.specs)]
        for policy, pattern in spec.steps:
            if policy == "budget":
                resource = name_of(pattern.format(key="abc"[key % 3]))
                paid = self._spent.setdefault(resource, [])
                paid.append((self.world.now, amount % 7))
                self.world.do(["spend", resource, spec.name, f"{resource}/{len(paid)}", amount % 7, self.world.now])

    def set_limit(self, name: int, which: int, limit: int) -> None:
        """An operator sets a limit, for a while or until it is taken back."""
        spec = self.specs[name % len(self.specs)]
        policy = sorted(spec.limits)[which % len(spec.limits)]
        given = {**spec.limits[policy], "limit": (0, 1, 2, 4)[limit % 4]}
        until = None if limit % 5 else self.world.now + 300
        self._steady = self._steady and policy != "throttle"
        for each in self._sharers(spec, policy):
            self._set[each, policy] = (given, until)
            self.world.do(["set", each, policy, json.dumps({**given, **({"until": until} if until else {})})])

    def take_back(self, which: int, *_: int) -> None:
        if policy := _pick({policy for _, policy in self._set}, which):
            names = [name for name, set_policy in self._set if set_policy == policy]
            for name in names:
                del self._set[name, policy]
            self.world.do(*(["set", name, policy, None] for name in names))

    # What must hold

    def check(self) -> None:
        after = self.world.dump()
        self._follow(after)
        lines = {name[5:]: jobs for name, jobs in after.items() if name.startswith("line:")}
        self._each_is_in_one_place(after, lines)
        self._places_are_as_noted(after)
        for job in after.get("calls", {}).keys() - self.before.get("calls", {}).keys() - self._taken:
            self._is_within_limits(after, job)
            self._overtakes_nobody(after, job, lines)
        self._nobody_waits_for_nothing(after, lines)
        self._starts_keep_to_the_rate()
        self._taken.clear()
        self.before = after

    def _follow(self, after: Dump) -> None:
        """Take over who has begun, with what that takes, and whom the gate has found to be dead."""
        self.waiting |= {job for job in self.dead if _owner(after, job) is None}
        self.dead -= self.waiting
        for job, owner in self.working.items():
            assert _owner(after, job) == owner
            if _owner(self.before, job) is None:
                for policy, resource in needs_of(_info(after, job)["line"]):
                    if policy.startswith("run_concurrency"):
                        self._started.setdefault(resource, set()).add(_run_of(job))
                    elif policy == "throttle":
                        self._take_token(job, resource)

    def _take_token(self, job: str, resource: str) -> None:
        limit = self._limit(job, "throttle")
        if limit["limit"]:
            interval = limit["period"] / limit["limit"]
            self._arrival[resource] = self._arrives(resource, limit) + interval, interval
        if job not in self._taken:
            self._begun.setdefault(resource, []).append(self.world.now)

    def _each_is_in_one_place(self, after: Dump, lines: dict[str, dict[str, float]]) -> None:
        found = Counter([*after.get("calls", ()), *(job for jobs in lines.values() for job in jobs)])
        assert found == Counter([*self.waiting, *self.working, *self.dead])

    def _places_are_as_noted(self, after: Dump) -> None:
        expected = {f"in:{resource}": set(runs) for resource, runs in self._started.items() if runs}
        for job in after.get("calls", ()):
            for policy, resource in needs_of(_info(after, job)["line"]):
                if policy.startswith("concurrency"):
                    expected.setdefault(f"in:{resource}", set()).add(job)
                elif policy != "budget" and _owner(after, job) is None:
                    expected.setdefault(f"called:{resource}", set()).add(job)
        assert {name: value for name, value in after.items() if name.startswith(("in:", "called:"))} == expected
        known = {name[4:]: tuple(map(float, value.split())) for name, value in after.items() if name.startswith("tat:")}
        for resource, (_, interval) in known.items():
            if interval != self._arrival[resource][1]:
                # Somebody waits, and the limit is another.
                self._arrival[resource] = self._arrives(resource, self._throttle(resource)), interval
        assert known == self._arrival

    def _arrives(self, resource: str, limit: dict[str, float]) -> float:
        now, interval = self.world.now, limit["period"] / limit["limit"]
        at, was = self._arrival.get(resource, (0, 0))
        if at > now and was != interval:
            at = now + min((at - now) / was * interval, interval * (limit["limit"] + limit["burst"]))
        return max(at, now)

    def _throttle(self, resource: str) -> dict[str, float]:
        spec = next(spec for spec in self.specs if resource.startswith(spec.name))
        given, until = self._set.get((spec.name, "throttle"), (spec.limits["throttle"], None))
        return given if until is None or until > self.world.now else spec.limits["throttle"]

    def _is_within_limits(self, after: Dump, job: str) -> None:
        for policy, resource in needs_of(_info(after, job)["line"]):
            # Of a job that has begun at once, the token is gone.
            gone = policy == "throttle" and _owner(after, job) is not None
            assert self._room(after, job, policy, resource) + gone >= 0, (job, policy)

    def _overtakes_nobody(self, after: Dump, job: str, lines: dict[str, dict[str, float]]) -> None:
        info = _info(after, job)
        stood = self.before.get(f"line:{info['line']}", {})
        for other, score in lines.get(info["line"], {}).items():
            assert other not in stood or (score, other) > (float(info["score"]), job)

    def _nobody_waits_for_nothing(self, after: Dump, lines: dict[str, dict[str, float]]) -> None:
        waits = after.get("waits", {})
        for line, jobs in lines.items():
            job, group = next(iter(jobs)), line.rsplit("\n", 1)[0] + "\n"
            assert any(self._room(after, job, policy, resource) < 1 for policy, resource in needs_of(line)), line
            assert ("l" + line in waits) != (line in after.get(f"ready:{group}", ()))
            assert "l" + line in waits or "g" + group in waits
        # Nobody waits who has nobody in line, and whoever does waits in one queue.
        assert {member[1:] for member in waits if member[0] == "l"} <= lines.keys()
        assert {f"ready:{member[1:]}" for member in waits if member[0] == "g"} <= after.keys()
        queues = Counter(member for name, members in after.items() if name.startswith("wait:") for member in members)
        assert queues == Counter(waits.keys())

    def _room(self, after: Dump, job: str, policy: str, resource: str) -> float:
        limit = self._limit(job, policy)
        inside = len(after.get(f"in:{resource}", ())) + len(after.get(f"called:{resource}", ()))
        if policy == "throttle":
            if not limit["limit"]:
                return -inside
            interval = limit["period"] / limit["limit"]
            used = self._arrives(resource, limit) - self.world.now
            return math.floor((interval * (limit["limit"] + limit["burst"]) - used + EPSILON) / interval) - inside
        if policy == "budget":
            return math.inf if self._spent_lately(resource, limit) < limit["limit"] else 0
        return limit["limit"] - inside

    def _spent_lately(self, resource: str, limit: dict[str, float]) -> float:
        part = limit["period"] // 60
        return sum(
            amount
            for at, amount in self._spent.get(resource, ())
            if at // part * part + part + limit["period"] > self.world.now
        )

    def _limit(self, job: str, policy: str) -> dict[str, float]:
        spec = self._runs[_run_of(job)][0]
        given, until = self._set.get((spec.name, policy), (spec.limits[policy], None))
        return given if until is None or until > self.world.now else spec.limits[policy]

    def _starts_keep_to_the_rate(self) -> None:
        """In any window, at most as many as may start at once, and one for each interval in it."""
        for resource, times in self._begun.items():
            limit = next(spec.limits["throttle"] for spec in self.specs if resource.startswith(spec.name))
            at_once, interval = limit["limit"] + limit["burst"], limit["period"] / limit["limit"]
            for index, first in enumerate(times):
                most = at_once + (times[-1] - first + EPSILON) / interval
                assert not self._steady or len(times) - index <= most

    # Going home

    def go_home(self) -> None:
        """All messages arrive, and nobody looks before the gate has said that it is time to."""
        while self._set:
            self.take_back(0)
            self.check()
        for _ in range(2000):
            if self.working:
                self.finish(0, 0, 0)
            elif self.world.hints:
                self._begin(self.world.hints.pop(0), 1)
            else:
                due = self.world.look()
                if due is None and not self.world.hints:
                    break
                if not self.world.hints:
                    self.world.now = max(self.world.now, due or 0)
                    self.world.look()
            self.check()
        assert not self.waiting
        assert not self.dead
        # A throttle and a budget are known for as long as they count; nothing else is.
        left = {name.partition(":")[0] for name in self.world.dump()}
        assert left <= {"limits", "set", "alive", "turn", "armed", "tat", "spent", "paid"}, left

    def _place(self, run: str, step: str, *, starts: bool) -> Place:
        spec, key, score = self._runs[run]
        place = spec.place(run, step, key, score, starts=starts)
        self.world.places[place.job] = place
        return place

    def _begin(self, job: str, who: int) -> None:
        owner = f"worker{1 + who % 2}"
        known = job in self.waiting | self.working.keys() | self.dead
        answer = self.world.begin(job, owner)
        if answer == "ok" and job not in self.working.keys() | self.dead:
            self.waiting.discard(job)
            self.working[job] = owner
        elif not known:
            # It was done long ago, and is in line for nothing now; whoever it is called for finds that out.
            assert answer == "wait"
            self.waiting.add(job)

    def _leaving(self, run: str) -> list[Operation]:
        spec, key, _ = self._runs[run]
        names = [name_of(pattern.format(key=key)) for policy, pattern in spec.starts if policy != "throttle"]
        for name in names:
            self._started.get(name, set()).discard(run)
        return [["leave", run, name] for name in names]

    def _sharers(self, spec: Spec, policy: str) -> list[str]:
        """A thing that two functions share has one limit here: nobody stands behind one who may do less."""
        pattern = dict((*spec.steps, *spec.starts))[policy]
        return [each.name for each in self.specs if (policy, pattern) in (*each.steps, *each.starts)]


def _pick(among: Collection[str], which: int) -> str | None:
    return sorted(among)[which % len(among)] if among else None


def _run_of(job: str) -> str:
    return job.partition("/")[0]


def _info(dump: Dump, job: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(dump["info"][job])
    return found


def _owner(dump: Dump, job: str) -> str | None:
    return _info(dump, job).get("owner") if job in dump.get("calls", ()) else None
