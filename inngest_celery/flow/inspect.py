"""A look into the gate: what a job waits for, and which keys are busy. It only reads, and never holds Redis up."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import unquote

from inngest_celery.flow import scripts
from inngest_celery.flow.gate import Gate, Lost, text_of
from inngest_celery.flow.places import Place

T = TypeVar("T")

# So much is read of what may be endless, and so much of it in one round trip.
_MOST = 10_000
_MOST_LINES = 100
_PAGE = 500
_STATES_PAGE = 100


class State(enum.StrEnum):
    """Where a job is: in line, called (its message is sent), held by a worker, or nowhere."""

    WAITING = "waiting"
    CALLED = "called"
    HELD = "held"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class LimitState:
    """A limit under one key, as it stands. Times are milliseconds since 1970.

    Attributes:
        policy: which of the function's limits.
        resource: the limit with its key.
        limit: what holds now; ``None`` where nothing does any more.
        taken: places, tokens, or what is spent.
        room: how many may go now; ``None`` without bounds.
        next_at: when time makes room, where time does that.
        holders: some of those that have a place: jobs as ``<subject>/<key>``, or runs.
    """

    policy: str
    resource: str
    limit: Mapping[str, float] | None
    taken: float
    room: float | None
    next_at: int | None
    holders: list[str]


@dataclass(frozen=True, slots=True)
class Standing:
    """A job as the gate knows it. Times are milliseconds since 1970.

    Attributes:
        owner: who holds it.
        until: when the call, or the lease on its places, runs out.
        times: how often it was called.
        resource: what it waits for.
        turn: how many other keys have their turn at that before it.
        before: how many jobs under its own key go before it.
        all_before: how many jobs go before it in all, as far as can be told now.
        needs: the limits that hold for it.
    """

    state: State
    owner: str | None
    until: int | None
    times: int
    resource: str | None
    turn: int
    before: int
    all_before: int
    needs: list[LimitState]


@dataclass(slots=True)
class Busy:
    """A key under which jobs of a function work or wait.

    Attributes:
        function_id: the function.
        policy: which of its limits.
        resource: the limit with its key.
        out: its jobs that are called or held.
        waiting: its jobs in line for this.
        job: one of them, as ``<subject>/<key>``.
    """

    function_id: str
    policy: str
    resource: str
    out: int = 0
    waiting: int = 0
    job: str = ""


def standing_of(gate: Gate, place: Place, now: int) -> Standing:
    """Look up a job.

    Raises:
        Lost: the limits are not known.
        redis.RedisError: Redis does not answer.
    """
    found = _ask(gate, place.tag, now, {"job": place.job, "line": place.line})
    job = found["standing"]
    return Standing(
        state=State(job["state"]),
        owner=job.get("owner"),
        until=_whole(job.get("till")),
        times=round(job.get("times", 0)),
        resource=job.get("resource"),
        turn=round(job.get("turn", 0)),
        before=round(job.get("before", 0)),
        all_before=round(job.get("all_before", 0)),
        needs=_states(found),
    )


def states_of(gate: Gate, tag: str, needs: Sequence[tuple[str, str, str]], now: int) -> list[LimitState]:
    """Look up limits of a tag, each given as the function's name in the gate, the policy and the resource.

    Raises:
        Lost: the limits are not known.
        redis.RedisError: Redis does not answer.
    """
    states: list[LimitState] = []
    for page in _pages(needs, _STATES_PAGE):
        states += _states(_ask(gate, tag, now, {"needs": page}))
    return states


def busy_keys(gate: Gate, tag: str) -> list[Busy]:
    """Give the keys under which somebody works or waits: those of the first ten thousand jobs and groups."""
    found: dict[tuple[str, str, str], Busy] = {}
    for members in _pages(islice(_hash(gate, f"{gate.stem(tag)}:waits"), _MOST), _PAGE):
        _count_waiting(gate, tag, members, found)
    out: Sequence[bytes | str] = gate.client.zrange(f"{gate.stem(tag)}:calls", 0, _MOST - 1)  # type: ignore[assignment]
    for jobs in _pages([text_of(job) for job in out], _PAGE):
        for job, info in zip(jobs, gate.client.hmget(f"{gate.stem(tag)}:info", jobs), strict=True):
            if info is not None:
                _count_out(job, json.loads(info)["line"], found)
    return list(found.values())


def _count_waiting(
    gate: Gate, tag: str, members: Sequence[tuple[str, str]], found: dict[tuple[str, str, str], Busy]
) -> None:
    stem = gate.stem(tag)
    # A line stands for itself, a group for its lines that have somebody ready.
    lines = [(member[1:], resource) for member, resource in members if member.startswith("l")]
    groups = [(member[1:], resource) for member, resource in members if member.startswith("g")]
    with gate.client.pipeline(transaction=False) as pipeline:
        for group, _ in groups:
            pipeline.zrange(f"{stem}:ready:{group}", 0, _MOST_LINES - 1)
        for (_, resource), ready in zip(groups, pipeline.execute(), strict=True):
            lines += [(text_of(line), resource) for line in ready]
    with gate.client.pipeline(transaction=False) as pipeline:
        for line, _ in lines:
            pipeline.zcard(f"{stem}:line:{line}")
            pipeline.zrange(f"{stem}:line:{line}", 0, 0)
        answers = pipeline.execute()
    for (line, resource), count, first in zip(lines, answers[::2], answers[1::2], strict=True):
        function_id, needs = _parts(line)
        for policy, need in needs:
            if need == resource and count:
                busy = found.setdefault((function_id, policy, need), Busy(function_id, policy, need))
                busy.waiting += count
                busy.job = text_of(first[0])


def _count_out(job: str, line: str, found: dict[tuple[str, str, str], Busy]) -> None:
    function_id, needs = _parts(line)
    for policy, resource in needs:
        busy = found.setdefault((function_id, policy, resource), Busy(function_id, policy, resource))
        busy.out += 1
        busy.job = busy.job or job


def _parts(line: str) -> tuple[str, list[tuple[str, str]]]:
    """Take a line's name apart: the function's id, and what it needs."""
    name, steps, starts = line.split("\n")
    needs = [need.partition("=") for need in f"{steps};{starts}".split(";") if need]
    return unquote(name), [(policy, resource) for policy, _, resource in needs]


def _ask(gate: Gate, tag: str, now: int, wanted: Mapping[str, object]) -> Any:
    text = json.dumps(wanted)
    found = json.loads(scripts.run(gate.client, scripts.INSPECT, gate.stem(tag), now, text, gate.call_ms))
    if not found["alive"]:
        raise Lost(tag)
    return found


def _states(found: Mapping[str, Any]) -> list[LimitState]:
    # An empty list is an empty table to Lua, and an object when it comes back.
    return [
        LimitState(
            policy=each["policy"],
            resource=each["resource"],
            limit=each.get("limit"),
            taken=each.get("taken", 0),
            room=each.get("room"),
            next_at=_whole(each.get("next")),
            holders=sorted(each.get("holders") or []),
        )
        for each in found["needs"] or []
    ]


def _whole(number: float | None) -> int | None:
    return None if number is None else round(number)


def _hash(gate: Gate, name: str) -> Iterator[tuple[str, str]]:
    for key, value in gate.client.hscan_iter(name, count=_PAGE):
        yield text_of(key), text_of(value)


def _pages(items: Sequence[T] | Iterator[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while page := list(islice(rest, size)):
        yield page
