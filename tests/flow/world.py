"""Jobs that go through a gate, on an invented clock, and what the gate has noted of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from inngest_celery.flow.gate import Answer, Gate, Operation
from inngest_celery.flow.places import Place, place_of

TAG = "shop"
START = 1_700_000_000_000
CALL_MS = 400
LEASE_MS = 1000
# All keys of a tag at one moment, in one round trip.
_DUMP = """
local found = {}
for _, name in ipairs(redis.call('KEYS', KEYS[1] .. ':*')) do
  local kind, value = redis.call('TYPE', name).ok, nil
  if kind == 'string' then value = redis.call('GET', name)
  elseif kind == 'hash' then value = redis.call('HGETALL', name)
  elseif kind == 'set' then value = redis.call('SMEMBERS', name)
  else value = redis.call('ZRANGE', name, 0, -1, 'WITHSCORES') end
  found[#found + 1] = { string.sub(name, #KEYS[1] + 2), kind, value }
end
return cjson.encode(found)
"""

Limits = dict[str, dict[str, float]]
Dump = dict[str, Any]


@dataclass(frozen=True)
class Spec:
    """A function: what its steps need, what its starts need besides, and its limits.

    ``{key}`` in a resource stands for the value of the run's key.
    """

    name: str
    steps: tuple[tuple[str, str], ...]
    starts: tuple[tuple[str, str], ...]
    limits: Limits

    def place(self, run: str, step: str, key: str, score: int, *, starts: bool) -> Place:
        def needs(of: tuple[tuple[str, str], ...]) -> list[list[str]]:
            return [[policy, resource.format(key=key)] for policy, resource in of]

        flow = json.dumps({"tag": TAG, "score": score, "steps": needs(self.steps), "starts": needs(self.starts)})
        return place_of(run, step, self.name, flow, starts=starts)


@dataclass
class World:
    """A gate, the time, and the messages that are on their way.

    Attributes:
        hints: the jobs for which there is a message; the same job may be there more than once.
        places: every job that was ever there.
    """

    gate: Gate
    now: int = START
    hints: list[str] = field(default_factory=list)
    places: dict[str, Place] = field(default_factory=dict)

    def open(self, specs: Sequence[Spec]) -> None:
        operations: list[Operation] = [describe(spec) for spec in specs]
        self.gate.do(TAG, self.now, [*operations, ["alive", None]], restoring=True)
        self.gate.mark()

    def do(self, *operations: Operation) -> Answer:
        answer = self.gate.do(TAG, self.now, operations)
        self.hints += answer.called
        return answer

    def begin(self, job: str, owner: str) -> Any:
        place = self.places[job]
        return self.do(["begin", job, place.line, place.score, owner, LEASE_MS]).answers[0]

    def holding(self, job: str, owner: str) -> Operation:
        place = self.places[job]
        return ["hold", job, place.line, place.score, owner, self.now + LEASE_MS]

    def look(self) -> int | None:
        """Do what is due by the clock, and tell when there will be more."""
        due = self.gate.due(self.now)
        assert due is not None
        for tag in due[0]:
            self.gate.seen_to(tag, self.now)
            assert tag == TAG
            self.do(["tick"])
        due = self.gate.due(self.now)
        assert due is not None
        assert due[0] == []
        return due[1]

    def dump(self) -> Dump:
        """Give everything that is noted, by the name of the key without what all have in common."""
        found = json.loads(self.gate.client.eval(_DUMP, 1, self.gate.stem(TAG)))
        return {name: _value(kind, value) for name, kind, value in found}

    def clear(self) -> None:
        names = list(self.dump())
        if names:
            self.gate.client.delete(*(f"{self.gate.stem(TAG)}:{name}" for name in names))


def describe(spec: Spec) -> Operation:
    return ["describe", spec.name, json.dumps(spec.limits, sort_keys=True)]


def entering(place: Place, *, dead: bool = False) -> Operation:
    return ["enter", place.job, place.line, place.score, dead]


def needs_of(line: str) -> list[tuple[str, str]]:
    """Read the policies and resources out of a line's name."""
    _, steps, starts = line.split("\n")
    return [tuple(each.split("=")) for part in (steps, starts) for each in part.split(";") if each]  # type: ignore[misc]


def _value(kind: str, value: Any) -> Any:
    if kind == "string":
        return value
    if kind == "set":
        return set(value)
    pairs = dict(zip(value[::2], value[1::2], strict=True))
    return pairs if kind == "hash" else {name: float(score) for name, score in pairs.items()}
