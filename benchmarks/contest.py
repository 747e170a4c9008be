"""Contenders with their workers, and the two loads that they are measured under."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import redis

from benchmarks import counting, cpu
from benchmarks.app import STEPS, Contender, Setup, build
from benchmarks.stacks import Stack, new_queue
from inngest_celery.clock import SystemClock
from inngest_celery.store.database import Database
from inngest_celery.store.keyring import new_key
from inngest_celery.store.partitioning import convert
from tests.worker_process import WorkerProcess

PROCESSES = 2
_GIVE_UP = 60.0


@dataclass(frozen=True)
class Way:
    """One way to do five steps.

    Attributes:
        name: as the tables show it.
        start: which of the app's ways to start it.
        slice: the setting, in seconds.
        events: whether workers send task events, as they do for Flower.
        encrypted: whether payloads are encrypted in the database.
        partitioned: whether the tables that grow are partitioned.
    """

    name: str
    start: str
    slice: float = 0.25
    events: bool = False
    encrypted: bool = False
    partitioned: bool = False


PLAIN = Way("plain", "plain")
CHAIN = Way("chain", "chain")
HOT = Way("hot", "async")
HOT_SYNC = Way("hot-sync", "sync")
HOP = Way("slice=0", "async", slice=0)
PLAIN_EVENTS = Way("plain -E", "plain", events=True)
HOT_EVENTS = Way("hot -E", "async", events=True)
HOT_ENCRYPTED = Way("hot encrypted", "async", encrypted=True)
HOT_PARTITIONED = Way("hot partitioned", "async", partitioned=True)
_ALL = (PLAIN, CHAIN, HOT, HOT_SYNC, HOP, PLAIN_EVENTS, HOT_EVENTS, HOT_ENCRYPTED, HOT_PARTITIONED)
WAYS = {way.name: way for way in _ALL}


@dataclass
class Result:
    """What was measured of one way on one stack. Times are milliseconds unless a name says otherwise."""

    lone: list[float] = field(default_factory=list)
    steps_a_second: list[float] = field(default_factory=list)
    cpu_per_step: list[dict[str, float]] = field(default_factory=list)
    start_cpu: list[float] = field(default_factory=list)
    per_step: dict[str, float] = field(default_factory=dict)


class Runner:
    """A contender at work: its app in this process, its worker beside it."""

    def __init__(self, way: Way, setup: Setup, contender: Contender, worker: WorkerProcess) -> None:
        self.way = way
        self.setup = setup
        self._start = contender.start[way.start]
        self._worker = worker
        self._redis: redis.Redis = redis.Redis.from_url(setup.notices, socket_timeout=None, decode_responses=True)
        self._number = 0

    @property
    def pid(self) -> int:
        """The worker's main process."""
        return self._worker.pid

    def lone(self, steps: int = STEPS) -> float:
        """Start one run, wait for its end, and give the time between in milliseconds."""
        began = time.perf_counter()
        self._start(self._next(), steps)
        self._wait()
        return (time.perf_counter() - began) * 1000

    def together(self, runs: int) -> list[float]:
        """Start some runs at once, wait for all, and give the milliseconds after which each has ended, in order."""
        began = time.perf_counter()
        for _ in range(runs):
            self._start(self._next(), STEPS)
        took = []
        for _ in range(runs):
            self._wait()
            took.append((time.perf_counter() - began) * 1000)
        return took

    def burst(self, runs: int, result: Result) -> None:
        """Send many runs to workers that stand still, then see how long they take."""
        self._worker.sigstop()
        began = time.process_time()
        for _ in range(runs):
            self._start(self._next(), STEPS)
        result.start_cpu.append((time.process_time() - began) * 1000 / runs)
        before = cpu.seconds(self._worker, self.setup)
        began = time.perf_counter()
        self._worker.sigcont()
        for _ in range(runs):
            self._wait()
        result.steps_a_second.append(runs * STEPS / (time.perf_counter() - began))
        after = cpu.seconds(self._worker, self.setup)
        result.cpu_per_step.append(
            {name: (after[name] - before.get(name, 0.0)) * 1000 / (runs * STEPS) for name in after}
        )

    def counted(self, runs: int) -> dict[str, float]:
        """Give statements, commits and messages per step, sending included."""
        self.lone()
        self._counts()
        for _ in range(runs):
            self.lone()
        return {name: number / (runs * STEPS) for name, number in self._counts().items()}

    def _counts(self) -> dict[str, int]:
        # The notice of a run's end is sent after its counts were.
        counting.report(self._redis, self.setup.counts_key)
        counts = {str(name): int(number) for name, number in self._redis.hgetall(self.setup.counts_key).items()}
        self._redis.delete(self.setup.counts_key)
        return counts

    def _next(self) -> str:
        self._number += 1
        return str(self._number)

    def _wait(self) -> None:
        if self._redis.blpop([self.setup.done_key], timeout=_GIVE_UP) is None:
            raise RuntimeError(f"{self.way.name} did not finish a run in {_GIVE_UP:g} s:\n{self._worker.log[-4000:]}")


@contextmanager
def running(way: Way, stack: Stack, *, count: bool = False, database: str = "") -> Iterator[Runner]:
    """Start a contender's worker, on a database of its own if none is given."""
    name = way.name.replace("=", "").replace(" ", "")
    # The workers of plain Celery have the durable functions too, which want tables when they start.
    setup = Setup(
        broker=stack.broker,
        queue=new_queue(name),
        notices=stack.notices,
        database=database or stack.new_database(),
        slice=way.slice,
        count=count,
        key=new_key("bench") if way.encrypted else "",
    )
    if way.partitioned:
        opened = Database(setup.database)
        convert(opened, "week", SystemClock().now())
        opened.dispose()
    worker = WorkerProcess(
        "benchmarks.worker",
        stack.directory / f"{setup.queue}.log",
        pool="prefork",
        concurrency=PROCESSES,
        env=setup.to_env(),
        options=["-E"] if way.events else [],
    )
    try:
        worker.wait_ready()
        yield Runner(way, setup, build(setup), worker)
    finally:
        worker.close()


def contest(
    stack: Stack, ways: Sequence[Way], *, lone: int, burst: int, rounds: int, say: Callable[[str], None]
) -> dict[str, Result]:
    """Measure ways side by side, taking turns, so that whatever else the machine does meets all of them.

    Args:
        stack: where.
        ways: who.
        lone: how many lone runs of each.
        burst: how many runs come at once.
        rounds: how often they do.
        say: told what is being done.
    """
    results = {way.name: Result() for way in ways}
    with ExitStack() as workers:
        runners = [workers.enter_context(running(way, stack)) for way in ways]
        for runner in runners:
            # Connections, plans and caches are made at first use.
            runner.burst(20, Result())
        say(f"{lone} lone runs each")
        for _ in range(lone):
            for runner in runners:
                results[runner.way.name].lone.append(runner.lone())
        for number in range(rounds):
            say(f"burst {number + 1} of {rounds}, {burst} runs each")
            for runner in runners:
                runner.burst(burst, results[runner.way.name])
    say("counting statements and messages")
    for way in ways:
        with running(way, stack, count=True) as runner:
            results[way.name].per_step = runner.counted(20)
    return results
