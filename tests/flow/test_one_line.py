"""One function whose jobs all need the same: who goes when is known exactly, so a plain model says it too."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inngest_celery.flow.gate import Gate
from tests.flow.world import CALL_MS, LEASE_MS, START, TAG, Limits, Spec, World, entering

_CONCURRENCY: Limits = {"concurrency.0": {"limit": 2}}
_THROTTLE: Limits = {"throttle": {"limit": 3, "period": 1000, "burst": 1}}
_MOST_DOUBLINGS = 6


@dataclass
class Known:
    """A job that was called: until when that holds, and who has begun it."""

    until: int
    owner: str | None = None


@dataclass
class Model:
    """What the gate does, in plain words and without other lines, groups or resources."""

    limits: Limits
    now: int = START
    line: list[tuple[int, str]] = field(default_factory=list)
    out: dict[str, Known] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    arrival: float = 0
    reckoned: float = 0
    called: list[str] = field(default_factory=list)

    def enter(self, score: int, job: str, *, dead: bool = False) -> Any:
        known = self.out.get(job)
        if known and known.owner is None:
            self.called.append(job)
            return "called"
        if known and not dead:
            return "held"
        if known:
            self._forget(job)
        self._stand(score, job)
        return False

    def begin(self, score: int, job: str, owner: str) -> str:
        if job not in self.out:
            self._stand(score, job)
        known = self.out.get(job)
        if known is None:
            return "wait"
        if known.owner is not None:
            return "ok" if known.owner == owner else "held"
        self.called = [each for each in self.called if each != job]
        known.owner, known.until = owner, self.now + LEASE_MS
        if "throttle" in self.limits:
            self.arrival, self.reckoned = self._arrives() + self._interval(), self._interval()
        return "ok"

    def release(self, job: str, owner: str) -> bool:
        if job in self.out and self.out[job].owner == owner:
            self._forget(job)
            self._go()
        return False

    def forget(self, job: str) -> str | bool:
        if job in self.out and self.out[job].owner is not None:
            return "held"
        self._forget(job)
        self.line = [each for each in self.line if each[1] != job]
        self._go()
        return False

    def hold(self, job: str, owner: str) -> str:
        if self.out[job].owner != owner:
            return "held"
        self.out[job].until = self.now + LEASE_MS
        return "ok"

    def tick(self) -> bool:
        self._go()
        return False

    def expire(self, scores: dict[str, int]) -> None:
        for _, job in sorted((known.until, job) for job, known in self.out.items() if known.until <= self.now):
            del self.out[job]
            self._stand(scores[job], job)

    def _stand(self, score: int, job: str) -> None:
        self.line = sorted({*self.line, (score, job)})
        self._go()

    def _go(self) -> None:
        while self.line and self._has_room():
            _, job = self.line.pop(0)
            self.calls[job] = self.calls.get(job, 0) + 1
            doublings = min(self.calls[job] - 1, _MOST_DOUBLINGS)
            self.out[job] = Known(self.now + CALL_MS * 2**doublings)
            self.called.append(job)

    def _has_room(self) -> bool:
        if "concurrency.0" in self.limits and len(self.out) >= self.limits["concurrency.0"]["limit"]:
            return False
        if "throttle" not in self.limits:
            return True
        on_their_way = sum(known.owner is None for known in self.out.values())
        limit = self.limits["throttle"]
        ahead = self._interval() * (limit["limit"] + limit["burst"])
        tokens = math.floor((ahead - (self._arrives() - self.now) + 0.001) / self._interval())
        return tokens > on_their_way

    def settle(self) -> None:
        """Let what counts pass at the rate that holds now; the gate does that where somebody waits."""
        self.arrival, self.reckoned = self._arrives(), self._interval()

    def _arrives(self) -> float:
        arrival, limit = self.arrival, self.limits["throttle"]
        if arrival > self.now and self.reckoned != self._interval():
            ahead = self._interval() * (limit["limit"] + limit["burst"])
            arrival = self.now + min((arrival - self.now) / self.reckoned * self._interval(), ahead)
        return max(arrival, self.now)

    def _interval(self) -> float:
        return self.limits["throttle"]["period"] / self.limits["throttle"]["limit"]

    def _forget(self, job: str) -> None:
        self.out.pop(job, None)
        self.calls.pop(job, None)


class Both:
    """The gate and the model, told the same."""

    def __init__(self, gate: Gate, limits: Limits, scores: list[int]) -> None:
        steps = tuple((policy, f"f:{policy}") for policy in limits if policy == "concurrency.0")
        starts = tuple((policy, f"f:{policy}") for policy in limits if policy == "throttle")
        self.spec = Spec("f", steps, starts, limits)
        self.world, self.model = World(gate), Model(json.loads(json.dumps(limits)))
        self.places = [self.spec.place(f"run{at}", "start", "", score, starts=True) for at, score in enumerate(scores)]
        self.scores = {place.job: place.score for place in self.places}
        self.world.open([self.spec])

    def enter(self, job: int, dead: int) -> None:
        place, dead = self._place(job), dead % 2
        self._both(entering(place, dead=bool(dead)), lambda: self.model.enter(place.score, place.job, dead=bool(dead)))

    def begin(self, job: int, who: int) -> None:
        place, owner = self._place(job), f"worker{who % 2}"
        operation = ["begin", place.job, place.line, place.score, owner, LEASE_MS]
        self._both(operation, lambda: self.model.begin(place.score, place.job, owner))

    def release(self, job: int, who: int) -> None:
        name, owner = self._place(job).job, f"worker{who % 2}"
        self._both(["release", name, owner], lambda: self.model.release(name, owner))

    def forget(self, job: int, _: int) -> None:
        place = self._place(job)
        self._both(["forget", place.job, place.line], lambda: self.model.forget(place.job))

    def set_limit(self, which: int, limit: int) -> None:
        policy = sorted(self.spec.limits)[which % len(self.spec.limits)]
        given = {**self.spec.limits[policy], "limit": 1 + limit % 4}

        def change() -> bool:
            self.model.limits[policy] = given
            return self.model.tick()

        self._both(["set", "f", policy, json.dumps(given)], change)

    def wait(self, ms: int, _: int) -> None:
        self.world.now += 1 + 31 * ms
        self.model.now = self.world.now
        self._both(["tick"], self.model.tick)
        # Whoever has begun prolongs its lease: one that runs out is a matter of more lines than one.
        for place in self.places:
            known = self.model.out.get(place.job)
            if known and (owner := known.owner):
                hold = ["hold", place.job, place.line, place.score, owner, self.world.now + LEASE_MS]
                self._both(hold, lambda job=place.job, owner=owner: self.model.hold(job, owner))  # type: ignore[misc]

    def compare(self) -> None:
        dump = self.world.dump()
        assert dump.get("calls", {}) == {job: known.until for job, known in self.model.out.items()}
        lines = [jobs for name, jobs in dump.items() if name.startswith("line:")]
        assert [(score, job) for jobs in lines for job, score in jobs.items()] == self.model.line

    def _both(self, operation: list[Any], modelled: Callable[[], Any]) -> None:
        answer = self.world.do(operation)
        self.model.called = []
        self.model.expire(self.scores)
        assert answer.answers == [modelled()]
        assert answer.called == self.model.called
        self._arrival_is_the_same()

    def _arrival_is_the_same(self) -> None:
        noted = self.world.gate.client.get(f"{self.world.gate.stem(TAG)}:tat:f:throttle") or b"0 0"
        arrival, reckoned = map(float, noted.split())  # type: ignore[union-attr]
        if reckoned != self.model.reckoned:
            self.model.settle()
        assert (arrival, reckoned) == (self.model.arrival, self.model.reckoned)

    def _place(self, job: int) -> Any:
        return self.places[job % len(self.places)]


_WHAT = st.sampled_from(
    ["enter", "enter", "begin", "begin", "begin", "release", "release", "wait", "forget", "set_limit"]
)
_TOLD = st.lists(st.tuples(_WHAT, st.integers(0, 19), st.integers(0, 11), st.integers(1, 2)), min_size=25, max_size=80)


@pytest.mark.parametrize(
    "limits",
    [_CONCURRENCY, _THROTTLE, {**_CONCURRENCY, **_THROTTLE}],
    ids=["concurrency", "throttle", "throttle and concurrency"],
)
@given(scores=st.lists(st.integers(0, 5), min_size=3, max_size=9), told=_TOLD)
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_the_gate_does_what_the_model_does(
    gate: Gate, limits: Limits, scores: list[int], told: list[tuple[str, int, int, int]]
) -> None:
    """Also when an answer gets lost, and the same is asked again."""
    both = Both(gate, limits, scores)
    try:
        for what, first, second, times in told:
            for _ in range(times):
                getattr(both, what)(first, second)
            both.compare()
    finally:
        both.world.clear()
