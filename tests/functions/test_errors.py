"""Errors: repeated, delayed, final, caught."""

from __future__ import annotations

import asyncio
import datetime
import itertools
from datetime import timedelta
from typing import Any

import pytest

import inngest_celery as inngest
from inngest_celery.store.rows import RunStatus
from tests.functions.bench import Bench
from tests.functions.conftest import MakeBench

only_sqlite = pytest.mark.databases("sqlite")
SECOND = 1000
# The bench's clock runs on while it works, and the machine may be busy.
SLACK = 10_000
TABLE = [15, 30, 60, 120, 300, 600, 1200, 2400, 3600, 7200, 7200]


class PaymentError(Exception):
    """A user's own error."""


@pytest.mark.parametrize("retries", [0, 2])
def test_a_step_is_tried_once_more_than_there_are_retries(bench: Bench, retries: int) -> None:
    attempts: list[tuple[int, int | None]] = []

    @bench.function(retries=retries)
    async def fn(ctx: inngest.Context) -> None:
        async def fail() -> None:
            attempts.append((ctx.attempt, ctx.max_attempts))
            raise PaymentError("card declined")

        await ctx.step.run("pay", fail)

    run = bench.run()
    error = bench.error(run)
    assert attempts == [(number, retries + 1) for number in range(retries + 1)]
    assert (error["name"], error["message"], error["code"]) == ("PaymentError", "card declined", "step_errored")
    assert error["stack"].startswith("Traceback")
    assert "in fail" in error["stack"]
    assert "inngest_celery/drivers" not in error["stack"]
    [step] = bench.steps(run)
    assert (step.failed, step.attempt) == (True, retries)


@only_sqlite
def test_four_retries_are_the_default(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> None:
        bench.calls["tried"] += 1
        raise PaymentError

    assert bench.error()["message"] == ""
    assert bench.calls["tried"] == 5


@only_sqlite
def test_delays_between_attempts_follow_the_table(bench: Bench) -> None:
    @bench.function(retries=11)
    async def fn(ctx: inngest.Context) -> None:
        def fail() -> None:
            bench.calls["at " + str(bench.now)] += 1
            raise PaymentError

        await ctx.step.run("pay", fail)

    run = bench.run()
    bench.error(run)
    noted = [attempt for attempt in bench.attempts(run) if attempt.step_id]
    delays = [attempt.retry_at - attempt.ended_at for attempt in noted if attempt.retry_at]
    assert [attempt.attempt for attempt in noted] == list(range(12))
    for delay, base in zip(delays, TABLE, strict=True):
        assert base * SECOND <= delay < (base + 30) * SECOND
    times = [int(key.removeprefix("at ")) for key in bench.calls]
    for at, before in zip(times[1:], noted, strict=False):
        assert before.retry_at is not None
        assert before.retry_at <= at < before.retry_at + SLACK


@only_sqlite
def test_a_constant_delay_for_development(make_bench: MakeBench) -> None:
    bench = make_bench(inngest_retry_interval=3)

    @bench.function(retries=3)
    async def fn(ctx: inngest.Context) -> None:
        raise PaymentError

    run = bench.run()
    bench.error(run)
    delays = [attempt.retry_at - attempt.ended_at for attempt in bench.attempts(run) if attempt.retry_at]
    assert delays == [3000, 3000, 3000]


@only_sqlite
@pytest.mark.parametrize("kind", ["int", "timedelta", "datetime"])
@pytest.mark.parametrize("place", ["step", "function"])
def test_retry_after(bench: Bench, kind: str, place: str) -> None:
    times: list[int] = []

    @bench.function(retries=2)
    async def fn(ctx: inngest.Context) -> str:
        def limited() -> str:
            times.append(bench.now)
            if len(times) == 3:
                return "done"
            wait = timedelta(hours=5, milliseconds=1)
            after: Any = {
                "int": round(wait.total_seconds() * 1000),
                "timedelta": wait,
                "datetime": datetime.datetime.fromtimestamp(bench.now / 1000, datetime.UTC) + wait,
            }[kind]
            raise inngest.RetryAfterError("limited", after)

        return await ctx.step.run("call", limited) if place == "step" else limited()

    assert bench.output() == "done"
    for before, after in itertools.pairwise(times):
        assert 0 <= after - before - 5 * 3600 * SECOND - 1 < SLACK, "never early, and soon after"


@only_sqlite
def test_retry_after_a_past_instant_waits_a_second_and_a_far_one_a_day(bench: Bench) -> None:
    times: list[int] = []

    @bench.function(retries=2)
    async def fn(ctx: inngest.Context) -> None:
        times.append(bench.now)
        raise inngest.RetryAfterError("later", -5 if len(times) == 1 else timedelta(days=9))

    bench.error()
    assert 1000 <= times[1] - times[0] < 1000 + SLACK
    assert 86_400_000 <= times[2] - times[1] < 86_400_000 + SLACK


@pytest.mark.parametrize("place", ["step", "function"])
def test_non_retriable(bench: Bench, place: str) -> None:
    @bench.function(retries=5)
    async def fn(ctx: inngest.Context) -> None:
        def fail() -> None:
            bench.calls["fail"] += 1
            raise inngest.NonRetriableError("no such customer")

        await ctx.step.run("find", fail) if place == "step" else fail()

    run = bench.run()
    assert run.status is RunStatus.FAILED
    assert (run.output["name"], run.output["message"]) == ("NonRetriableError", "no such customer")
    assert bench.calls == {"fail": 1}


def test_a_caught_step_error(bench: Bench) -> None:
    seen: list[Any] = []

    @bench.function(retries=1)
    async def fn(ctx: inngest.Context) -> Any:
        def fail() -> None:
            raise PaymentError("card declined")

        try:
            await ctx.step.run("pay", fail)
        except inngest.StepError as error:
            seen.append((error.name, error.message, error.stack is not None, str(error)))
        await ctx.step.sleep("replay", 1000)
        return await ctx.step.run("remind", lambda: "reminded")

    assert bench.output() == "reminded"
    assert set(seen) == {("PaymentError", "card declined", True, "card declined")}


@only_sqlite
def test_another_error_raised_from_a_step_error(bench: Bench) -> None:
    @bench.function(retries=0)
    async def fn(ctx: inngest.Context) -> None:
        def fail() -> None:
            raise PaymentError("card declined")

        try:
            await ctx.step.run("pay", fail)
        except inngest.StepError as error:
            raise RuntimeError("gave up") from error

    error = bench.error()
    assert (error["name"], error["message"], error["code"]) == ("RuntimeError", "gave up", "unknown")


def test_the_functions_own_error_is_retried_and_counted_anew_after_progress(bench: Bench) -> None:
    attempts: list[tuple[str, int]] = []

    @bench.function(retries=2)
    async def fn(ctx: inngest.Context) -> str:
        attempts.append(("before", ctx.attempt))
        if len(attempts) < 3:
            raise PaymentError("before")
        await ctx.step.run("progress", lambda: None)
        attempts.append(("after", ctx.attempt))
        if len([place for place, _ in attempts if place == "after"]) < 3:
            raise PaymentError("after")
        return "done"

    assert bench.output() == "done"
    assert attempts[:3] == [("before", 0), ("before", 1), ("before", 2)]
    assert [number for place, number in attempts if place == "after"] == [0, 1, 2]


@only_sqlite
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({1, 2}, "a set at $"),
        ({"when": [datetime.date(2026, 1, 1)]}, "a date at $.when[0]"),
        (float("nan"), "the number nan at $"),
        (b"x", "a bytes at $"),
        ("\ud800", "half of a surrogate pair at $"),
    ],
)
@pytest.mark.parametrize("place", ["step", "function"])
def test_unserialisable_output_is_not_retried(bench: Bench, value: Any, said: str, place: str) -> None:
    @bench.function(retries=3)
    async def fn(ctx: inngest.Context) -> Any:
        def give() -> Any:
            bench.calls["give"] += 1
            return value

        return await ctx.step.run("give it", give) if place == "step" else give()

    error = bench.error()
    assert error["name"] == "OutputUnserializableError"
    assert said in error["message"]
    assert ('"give it"' in error["message"]) == (place == "step")
    assert bench.calls == {"give": 1}


@only_sqlite
@pytest.mark.parametrize("kind", ["run", "sleep", "wait", "invoke", "send", "group"])
def test_nested_steps(bench: Bench, kind: str) -> None:
    @bench.function(retries=3)
    async def fn(ctx: inngest.Context) -> None:
        async def outer() -> None:
            bench.calls["outer"] += 1
            inner: Any = {
                "run": lambda: ctx.step.run("inner", lambda: bench.calls.update(["inner"])),
                "sleep": lambda: ctx.step.sleep("inner", 1000),
                "wait": lambda: ctx.step.wait_for_event("inner", event="test/x", timeout=1000),
                "invoke": lambda: ctx.step.invoke_by_id("inner", function_id="fn"),
                "send": lambda: ctx.step.send_event("inner", inngest.Event(name="test/x")),
                "group": lambda: ctx.group.parallel((lambda: ctx.step.run("inner", lambda: None),)),
            }[kind]
            await inner()

        await ctx.step.run("outer", outer)

    error = bench.error()
    assert error["name"] == "StepNestedError"
    assert '"inner"' in error["message"]
    assert '"outer"' in error["message"]
    assert bench.calls == {"outer": 1}


@only_sqlite
def test_nested_steps_of_a_sync_function(bench: Bench) -> None:
    @bench.function(retries=3)
    def fn(ctx: inngest.ContextSync) -> None:
        ctx.step.run("outer", lambda: ctx.step.run("inner", lambda: None))

    assert bench.error()["name"] == "StepNestedError"


@pytest.mark.parametrize("kind", ["sleep", "retry"])
def test_a_swallowed_suspension_fails_the_run(bench: Bench, kind: str) -> None:
    @bench.function(retries=3)
    async def fn(ctx: inngest.Context) -> str:
        def flaky() -> None:
            bench.calls["flaky"] += 1
            if bench.calls["flaky"] == 1:
                raise PaymentError

        try:
            await (ctx.step.sleep("nap", 1000) if kind == "sleep" else ctx.step.run("nap", flaky))
        except BaseException:  # noqa: BLE001  the mistake that this is about
            bench.calls["swallowed"] += 1
        return "went on"

    error = bench.error()
    assert error["code"] == "suspension_swallowed"
    assert '"nap"' in error["message"]


@only_sqlite
def test_a_swallowed_suspension_in_a_sync_function(bench: Bench) -> None:
    @bench.function(retries=3)
    def fn(ctx: inngest.ContextSync) -> str:
        try:
            ctx.step.sleep("nap", 1000)
        except:  # noqa: E722
            bench.calls["swallowed"] += 1
        return "went on"

    assert bench.error()["code"] == "suspension_swallowed"


@only_sqlite
def test_a_suspension_swallowed_by_a_step_after_it(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> str:
        try:
            await ctx.step.sleep("first", 1000)
        except BaseException:
            await ctx.step.run("cleanup", lambda: bench.calls.update(["cleanup"]))
            raise
        return "went on"

    assert bench.output() == "went on"
    assert not bench.calls, "what an unwinding function still asks for is not done"


@only_sqlite
def test_finally_blocks_run_when_a_function_is_put_aside(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> str:
        try:
            await ctx.step.sleep("nap", 1000)
        finally:
            bench.calls["finally"] += 1
        return "woke up"

    assert bench.output() == "woke up"
    assert bench.calls == {"finally": 2}


@only_sqlite
@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("place", ["step", "function"])
def test_sys_exit_in_user_code_is_a_failed_attempt(bench: Bench, is_async: bool, place: str) -> None:
    def leave() -> str:
        bench.calls["leave"] += 1
        if bench.calls["leave"] == 1:
            raise SystemExit(2)
        return "stayed"

    async def leave_async() -> str:
        return leave()

    if is_async:

        @bench.function(retries=1)
        async def fn(ctx: inngest.Context) -> str:
            return await ctx.step.run("leave", leave_async) if place == "step" else leave()

    else:

        @bench.function(retries=1)
        def fn_sync(ctx: inngest.ContextSync) -> str:
            return ctx.step.run("leave", leave) if place == "step" else leave()

    run = bench.run()
    assert bench.output(run) == "stayed"
    [attempt] = bench.attempts(run)
    assert '"SystemExit"' in attempt.error


@only_sqlite
def test_an_error_without_text_that_can_be_stored(bench: Bench) -> None:
    @bench.function(retries=0)
    async def fn(ctx: inngest.Context) -> None:
        raise ValueError("half \ud800 and nul \x00")

    assert bench.error()["message"] == "half \\ud800 and nul \x00"


@only_sqlite
def test_a_base_exception_of_the_users_own(bench: Bench) -> None:
    class StopEverything(BaseException):
        pass

    @bench.function(retries=0)
    async def fn(ctx: inngest.Context) -> None:
        def fail() -> None:
            raise StopEverything("now")

        await ctx.step.run("step", fail)

    assert bench.error()["name"] == "StopEverything"


@only_sqlite
def test_asyncio_cancellation_in_user_code_is_an_error_like_any_other(bench: Bench) -> None:
    @bench.function(retries=0)
    async def fn(ctx: inngest.Context) -> None:
        async def cancelled() -> None:
            raise asyncio.CancelledError

        await ctx.step.run("step", cancelled)

    assert bench.error()["name"] == "CancelledError"
