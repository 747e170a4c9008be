"""Random functions: trees of steps, one after the other and side by side, as values that can be run and checked."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias

from hypothesis import strategies as st

import inngest_celery as inngest

RETRIES = 3
ALWAYS = 99


@dataclass(frozen=True)
class Leaf:
    """One step; ``fails`` says how often a body raises before it gives its name."""

    kind: str
    fails: int = 0


@dataclass(frozen=True)
class Tree:
    """Programs in a row, or in parallel."""

    kind: str
    children: tuple[Program, ...]


Program: TypeAlias = Leaf | Tree

leaves = st.one_of(
    st.builds(Leaf, st.just("run"), st.sampled_from([1, 2, RETRIES, ALWAYS])),
    st.builds(Leaf, st.just("run")),
    st.builds(Leaf, st.sampled_from(["sleep", "wait", "invoke", "send", "code"])),
)
programs = st.recursive(
    leaves,
    lambda inner: st.builds(Tree, st.sampled_from(["row", "parallel"]), st.lists(inner, max_size=3).map(tuple)),
    max_leaves=9,
)


def expected(program: Program, path: str = "p") -> Any:
    """Give the output that a program has, however it is run."""
    if isinstance(program, Tree):
        return [expected(child, name) for child, name in children(program, path)]
    match program.kind:
        case "run":
            return f"failed {path}" if program.fails > RETRIES else path
        case "invoke":
            return f"callee of {path}"
        case "send":
            return 1
        case "code":
            return "code"
    return None


def bodies(program: Program, path: str = "p") -> Counter[str]:
    """Give how often each body runs if nothing crashes."""
    if isinstance(program, Tree):
        return sum((bodies(child, name) for child, name in children(program, path)), Counter())
    return Counter({path: min(program.fails, RETRIES) + 1}) if program.kind == "run" else Counter()


def steps(program: Program, path: str = "p") -> list[str]:
    """Give the names of all steps."""
    if isinstance(program, Tree):
        return [step for child, name in children(program, path) for step in steps(child, name)]
    return [] if program.kind == "code" else [path]


def children(tree: Tree, path: str) -> Iterator[tuple[Program, str]]:
    return ((child, f"{path}{index}") for index, child in enumerate(tree.children))


def body(program: Leaf, path: str, calls: Counter[str]) -> str:
    calls[path] += 1
    if calls[path] <= program.fails:
        raise ValueError(path)
    return path


async def execute(program: Program, ctx: inngest.Context, calls: Counter[str], path: str = "p") -> Any:
    """Run a program as an async function."""
    if isinstance(program, Leaf):
        try:
            return as_output(await step(program, ctx.step, calls, path))
        except inngest.StepError:
            return f"failed {path}"
    branches = [
        lambda child=child, name=name: execute(child, ctx, calls, name) for child, name in children(program, path)
    ]
    if program.kind == "row":
        return [await branch() for branch in branches]
    return list(await asyncio.gather(*(branch() for branch in branches)))


def execute_sync(program: Program, ctx: inngest.ContextSync, calls: Counter[str], path: str = "p") -> Any:
    """Run a program as a function that is not async."""
    if isinstance(program, Leaf):
        try:
            return "code" if program.kind == "code" else as_output(step(program, ctx.step, calls, path))
        except inngest.StepError:
            return f"failed {path}"
    branches = [
        lambda child=child, name=name: execute_sync(child, ctx, calls, name) for child, name in children(program, path)
    ]
    if program.kind == "row":
        return [branch() for branch in branches]
    return list(ctx.group.parallel(tuple(branches)))


def step(leaf: Leaf, on: Any, calls: Counter[str], path: str) -> Any:
    """Call the step, on ``ctx.step`` of either kind of function."""
    match leaf.kind:
        case "run":
            return on.run(path, body, leaf, path, calls)
        case "sleep":
            return on.sleep(path, timedelta(hours=1))
        case "wait":
            return on.wait_for_event(path, event="test/never", timeout=timedelta(hours=2))
        case "invoke":
            return on.invoke_by_id(path, function_id="callee", data={"path": path})
        case "send":
            return on.send_event(path, inngest.Event(name="test/told", data={"path": path}))
    return asyncio.sleep(0, "code")


def as_output(result: Any) -> Any:
    """Event ids differ from run to run, so only their number counts."""
    return len(result) if isinstance(result, list) else result
