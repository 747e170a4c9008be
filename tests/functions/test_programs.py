"""Random functions give the same output and do each step once: hot, hop by hop, and with workers that die."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import inngest_celery as inngest
from inngest_celery.store import schema
from inngest_celery.worker import execute, turns
from inngest_celery.worker import tasks as tasks_module
from tests.functions import programs
from tests.functions.bench import Bench
from tests.functions.programs import Program

_EACH = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
_LEASE = timedelta(seconds=30)


class Died(KeyboardInterrupt):
    """What a killed worker looks like from inside: nothing after it is done."""


class Mortality:
    """Kills the worker at some of the places at which it may die."""

    def __init__(self, every: set[int]) -> None:
        self._every = every
        self._passed = 0
        self.deaths = 0

    def pass_by(self, _place: str) -> None:
        self._passed += 1
        if self._passed in self._every:
            self.deaths += 1
            raise Died

    @contextmanager
    def at_work(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for module in (execute, turns):
                patch.setattr(module, "crash_point", self.pass_by)
            patch.setattr(tasks_module, "crash_point", self.pass_by)
            yield


def define(bench: Bench, program: Program, calls: Counter[str], *, is_async: bool) -> None:
    @bench.function("callee", trigger=inngest.TriggerEvent(event="test/never", expression="false"))
    async def callee(ctx: inngest.Context) -> str:
        await ctx.step.sleep("nap", 1000)
        return f"callee of {ctx.event.data['path']}"

    if is_async:

        @bench.function(retries=programs.RETRIES)
        async def fn(ctx: inngest.Context) -> Any:
            return await programs.execute(program, ctx, calls)

    else:

        @bench.function(retries=programs.RETRIES)
        def fn_sync(ctx: inngest.ContextSync) -> Any:
            return programs.execute_sync(program, ctx, calls)


def run(database_url: str, program: Program, *, hot: bool, is_async: bool, deaths: set[int]) -> None:
    bench = Bench(database_url, hot=hot, inngest_retry_interval=1)
    calls: Counter[str] = Counter()
    mortality = Mortality(deaths)
    define(bench, program, calls, is_async=is_async)
    told = len(bench.events("test/told")) if bench.inline else 0
    try:
        [event_id] = bench.client.send_sync(inngest.Event(name="test/go"))
        with mortality.at_work():
            until_it_ends(bench)
        [ended] = bench.inline.runs.of_event(event_id)
        assert ended.output == programs.expected(program), ended
        recorded = sorted(step.name for step in bench.steps(ended))
        assert recorded == sorted(programs.steps(program)), "each step has one outcome"
        assert len(bench.events("test/told")) - told == sum(kind == "send" for kind in kinds(program))
        for path, count in programs.bodies(program).items():
            assert count <= calls[path] <= count + mortality.deaths, path
        if not mortality.deaths:
            assert calls == programs.bodies(program)
        bench.check()
        assert not bench.rows(schema.job)
        assert not bench.rows(schema.wait)
    finally:
        bench.close()


def until_it_ends(bench: Bench) -> None:
    while True:
        try:
            bench.advance(days=3)
        except Died:
            bench.inline.clock.advance(round(_LEASE.total_seconds() * 1000))
        else:
            return


def kinds(program: Program) -> list[str]:
    if isinstance(program, programs.Tree):
        return [kind for child in program.children for kind in kinds(child)]
    return [program.kind]


@given(program=programs.programs, hot=st.booleans(), is_async=st.booleans())
@_EACH
def test_nobody_dies(database_url: str, program: Program, hot: bool, is_async: bool) -> None:
    run(database_url, program, hot=hot, is_async=is_async, deaths=set())


@given(
    program=programs.programs, hot=st.booleans(), is_async=st.booleans(), deaths=st.sets(st.integers(1, 60), max_size=6)
)
@_EACH
def test_workers_die(database_url: str, program: Program, hot: bool, is_async: bool, deaths: set[int]) -> None:
    run(database_url, program, hot=hot, is_async=is_async, deaths=deaths)
