"""The event loop of a process: run by its main thread where that waits for it, else by a thread of its own."""

from __future__ import annotations

import asyncio
import contextvars
import signal
import threading
from collections.abc import Iterator

import pytest
from billiard.exceptions import SoftTimeLimitExceeded

from inngest_celery.drivers.native.loop import LoopThread
from tests.waiting import wait_until

word: contextvars.ContextVar[str] = contextvars.ContextVar("word", default="none")


@pytest.fixture
def loop() -> LoopThread:
    return LoopThread()


async def thread() -> int:
    return threading.get_ident()


def test_the_main_thread_runs_what_it_waits_for_itself(loop: LoopThread) -> None:
    assert {loop.run(thread()) for _ in range(100)} == {threading.get_ident()}


def test_the_loop_goes_on_when_nobody_waits_for_it(loop: LoopThread) -> None:
    threads: list[int] = []

    async def later() -> None:
        await asyncio.sleep(0.01)
        threads.append(threading.get_ident())

    async def begin() -> None:
        tasks.append(asyncio.create_task(later()))

    tasks: list[asyncio.Task[None]] = []
    # Again and again: each time the main thread takes the loop back from the thread that goes on with it.
    for number in range(1, 4):
        loop.run(begin())
        wait_until(lambda number=number: len(threads) == number)
    assert threading.get_ident() not in threads
    assert loop.run(thread()) == threading.get_ident()


def test_other_threads_are_served_while_the_main_thread_waits_and_while_it_does_not(loop: LoopThread) -> None:
    given: list[int] = []

    async def echo(number: int) -> int:
        await asyncio.sleep(0)
        return number

    def ask() -> None:
        given.extend(loop.run(echo(number)) for number in range(200))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for each in threads:
        each.start()
    mine = [loop.run(echo(number)) for number in range(200)]
    for each in threads:
        each.join(60)
    assert mine == list(range(200))
    assert sorted(given) == sorted([*range(200)] * 4)


def test_other_threads_get_what_a_visit_of_the_main_thread_leaves_behind(loop: LoopThread) -> None:
    open_gate, reached = asyncio.Event(), threading.Event()

    async def wait() -> str:
        reached.set()
        await open_gate.wait()
        return "through"

    async def let_through() -> None:
        open_gate.set()

    given: list[str] = []
    other = threading.Thread(target=lambda: given.append(loop.run(wait())))
    other.start()
    assert reached.wait(60)
    loop.run(let_through())
    other.join(60)
    assert given == ["through"]


def test_where_another_loop_runs_already_ours_is_run_by_its_own_thread(loop: LoopThread) -> None:
    async def inside_another() -> int:
        return loop.run(thread())

    assert asyncio.run(inside_another()) != threading.get_ident()


def test_the_loop_does_not_wait_for_itself(loop: LoopThread) -> None:
    async def again() -> int:
        return loop.run(thread())

    with pytest.raises(RuntimeError, match="share one event loop"):
        loop.run(again())
    assert loop.run(thread()) == threading.get_ident()


@pytest.mark.parametrize("end", [SystemExit, KeyboardInterrupt])
def test_what_a_coroutine_raises_to_end_the_process_is_its_own_result(
    loop: LoopThread, end: type[BaseException]
) -> None:
    async def leave() -> None:
        raise end

    with pytest.raises(end):
        loop.run(leave())
    assert loop.run(thread()) == threading.get_ident()


def test_a_neighbour_that_leaves_does_not_end_a_visit(loop: LoopThread) -> None:
    async def leave() -> None:
        raise SystemExit(2)

    async def stay() -> str:
        neighbour = asyncio.create_task(leave())
        await asyncio.wait([neighbour])
        return type(neighbour.exception()).__name__

    assert loop.run(stay()) == "SystemExit"


def test_variables_stay_in_the_coroutine(loop: LoopThread) -> None:
    async def change() -> str:
        word.set("changed")
        return word.get()

    given = contextvars.copy_context()
    assert loop.run(change()) == loop.run(change(), given) == "changed"
    assert (word.get(), given[word]) == ("none", "changed")


@pytest.fixture
def time_limit() -> Iterator[None]:
    """What Celery does when a soft time limit is over, soon."""

    def interrupt(_signal: int, _frame: object) -> None:
        raise SoftTimeLimitExceeded

    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, previous)


@pytest.mark.usefixtures("time_limit")
def test_a_time_limit_ends_a_coroutine_that_waits(loop: LoopThread) -> None:
    ends: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ends.append("cancelled")

    with pytest.raises(SoftTimeLimitExceeded):
        loop.run(wait())
    wait_until(lambda: ends == ["cancelled"])
    assert loop.run(thread()) == threading.get_ident()


@pytest.mark.usefixtures("time_limit")
def test_a_time_limit_ends_a_coroutine_that_computes(loop: LoopThread) -> None:
    async def compute() -> None:
        while True:
            pass

    with pytest.raises(SoftTimeLimitExceeded):
        loop.run(compute())
    assert loop.run(thread()) == threading.get_ident()
