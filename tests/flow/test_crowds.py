"""Whatever happens in whatever order: no limit is exceeded, nobody is overtaken, forgotten or left waiting."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inngest_celery.flow.gate import Gate
from tests.flow.crowd import Crowd
from tests.flow.world import Limits, Spec, World

Told = tuple[str, int, int, int]

_EVENTS = st.sampled_from(
    # What happens most stands here more often.
    ["start"] * 4
    + ["deliver"] * 5
    + ["finish"] * 4
    + ["wait"] * 3
    + ["stray_message", "lose_message", "sweep", "die", "die", "force", "forget", "forget_called", "spend", "spend"]
    + ["set_limit", "take_back"]
)
_NUMBER = st.integers(0, 59)
TOLD = st.lists(st.tuples(_EVENTS, _NUMBER, _NUMBER, _NUMBER), min_size=25, max_size=80)


@st.composite
def crowds_specs(draw: st.DrawFn) -> list[Spec]:
    """Two functions, that may share a limit."""
    shared: Limits = {}
    for policy in ("concurrency.0", "concurrency.1", "run_concurrency.0"):
        if draw(st.booleans()):
            shared[policy] = {"limit": draw(st.integers(1, 3))}
    return [draw(_spec(name, shared)) for name in ("f", "g")]


@st.composite
def _spec(draw: st.DrawFn, name: str, shared: Limits) -> Spec:
    limits = dict(shared)
    steps: list[tuple[str, str]] = []
    starts: list[tuple[str, str]] = []
    for policy in sorted(shared):
        pattern = draw(st.sampled_from(["env:{policy}", "env:{policy}:{{key}}"])).format(policy=policy)
        (steps if policy.startswith("c") else starts).append((policy, pattern))
    if draw(st.booleans()):
        limits["throttle"] = {"limit": draw(st.integers(1, 3)), "period": 1000, "burst": draw(st.integers(0, 2))}
        starts.insert(0, ("throttle", draw(st.sampled_from([f"{name}:throttle", f"{name}:throttle:{{key}}"]))))
    if draw(st.booleans()):
        limits["budget"] = {"limit": draw(st.integers(2, 9)), "period": 600}
        steps.append(("budget", draw(st.sampled_from([f"{name}:budget", f"{name}:budget:{{key}}"]))))
    if not limits:
        limits["concurrency.0"] = {"limit": 1}
        steps.append(("concurrency.0", f"{name}:concurrency.0"))
    # The order of what is needed is not the same everywhere.
    return Spec(name, tuple(draw(st.permutations(steps))), tuple(starts), limits)


@given(specs=crowds_specs(), told=TOLD)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_a_crowd_is_let_through(gate: Gate, specs: list[Spec], told: list[Told]) -> None:
    world = World(gate)
    try:
        crowd = Crowd(world, specs)
        for what, *numbers in told:
            getattr(crowd, what)(*numbers)
            crowd.check()
        crowd.go_home()
    finally:
        world.clear()
