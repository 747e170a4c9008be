"""Redis forgets: its scripts, all it knew, or one function."""

from __future__ import annotations

import pytest

from inngest_celery.flow.gate import Gate, Lost, Unknown
from tests.flow.world import START, TAG, Spec, World, describe, entering

_SPEC = Spec("f", (("concurrency.0", "f:all"),), (), {"concurrency.0": {"limit": 1}})
_ONE, _TWO = (_SPEC.place(run, "step", "", 0, starts=False) for run in ("one", "two"))


@pytest.fixture
def world(gate: Gate) -> World:
    world = World(gate, places={place.job: place for place in (_ONE, _TWO)})
    world.open([_SPEC])
    return world


def test_forgotten_scripts_are_loaded_again(gate: Gate, world: World) -> None:
    for place in (_ONE, _TWO):
        gate.client.script_flush()
        world.do(entering(place))
    assert world.hints == [_ONE.job]


def test_what_is_lost_is_told_so_and_nothing_is_done(gate: Gate, world: World) -> None:
    world.do(entering(_ONE))
    gate.client.flushdb()
    with pytest.raises(Lost):
        world.do(entering(_TWO))
    assert world.dump() == {}
    assert gate.due(world.now) is None


def test_what_is_told_again_holds_again(gate: Gate, world: World) -> None:
    world.do(entering(_ONE))
    gate.client.flushdb()
    gate.do(TAG, world.now, [describe(_SPEC)], restoring=True)
    gate.do(TAG, world.now, [["hold", _ONE.job, _ONE.line, 0, "worker", world.now + 1000]], restoring=True)
    with pytest.raises(Lost):
        world.do(entering(_TWO))
    gate.do(TAG, world.now, [["alive", world.now]], restoring=True)
    assert world.do(entering(_TWO)).called == []
    assert world.do(["release", _ONE.job, "worker"]).called == [_TWO.job]


def test_after_a_loss_a_throttle_is_as_just_emptied(gate: Gate) -> None:
    limits = {"throttle": {"limit": 2.0, "period": 1000.0, "burst": 0.0}}
    spec, world = Spec("f", (), (("throttle", "f:throttle"),), limits), World(gate)
    gate.do(TAG, world.now, [describe(spec), ["alive", world.now]], restoring=True)
    gate.mark()
    places = {place.job: place for place in (spec.place(run, "s", "", 0, starts=True) for run in ("a", "b", "c"))}
    world.places = places
    world.do(*(entering(place) for place in places.values()))
    began: list[int] = []
    while len(began) < 3:
        due = world.look()
        if not world.hints:
            assert due is not None
            world.now = due
        elif world.begin(world.hints.pop(0), "worker") == "ok":
            began.append(world.now - START)
    assert began == [500, 1000, 1500]


def test_a_function_that_is_not_known_is_named(gate: Gate, world: World) -> None:
    other = Spec("other", _SPEC.steps, (), _SPEC.limits)
    with pytest.raises(Unknown, match="other"):
        world.do(entering(_ONE), entering(other.place("run", "step", "", 0, starts=False)))
    assert world.do(describe(other), ["release", _ONE.job, "worker"]).called == []
    assert world.hints == []


def test_a_lease_is_prolonged_only_where_it_is(world: World) -> None:
    world.do(entering(_ONE), entering(_TWO))
    assert world.begin(world.hints.pop(), "worker") == "ok"
    for worker in ("other", "worker"):
        world.do(["prolong", _ONE.job, worker, world.now + 10_000])
    world.now += 5_000
    assert world.look() is not None
    assert world.hints == []
    world.do(["release", _ONE.job, "worker"])
    assert world.hints == [_TWO.job]
    # It has let go of it: there is nothing to prolong, and nothing is taken.
    world.do(["prolong", _ONE.job, "worker", world.now + 10_000])
    assert world.gate.members(TAG, "f:all") == [_TWO.job]


def test_a_place_goes_to_whoever_executes_the_job(world: World) -> None:
    world.do(entering(_ONE), entering(_TWO))
    assert world.begin(world.hints.pop(), "late") == "ok"
    world.do(["pass", _ONE.job, "late", "early", world.now + 1000])
    world.do(["release", _ONE.job, "late"])
    assert world.hints == []
    world.do(["release", _ONE.job, "early"])
    assert world.hints == [_TWO.job]
