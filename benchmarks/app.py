"""The Celery app that is measured: the same five trivial steps, durable, as a re-enqueueing task and as a canvas chain.

Workers and the process that measures both build it, from a :class:`Setup`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

import redis
from celery import Celery, Task, chain, signals

import inngest_celery as inngest
from benchmarks import counting

STEPS = 5
VARIABLE = "INNGEST_BENCH_SETUP"


@dataclass(frozen=True)
class Setup:
    """Where a contender works.

    Attributes:
        broker: URL.
        queue: its own, so that several contenders can share a broker.
        notices: URL of the Redis that hears of finished runs, and holds the results of chains.
        database: SQLAlchemy URL.
        slice: how long a run is kept, in seconds; 0 is a hop at every step.
        count: count statements and messages, which is not free.
        key: what payloads are encrypted with in the database; empty: nothing is.
    """

    broker: str
    queue: str
    notices: str
    database: str
    slice: float
    count: bool = False
    key: str = ""

    def to_env(self) -> dict[str, str]:
        return {VARIABLE: json.dumps(asdict(self))}

    @property
    def done_key(self) -> str:
        return f"{self.queue}:done"

    @property
    def counts_key(self) -> str:
        return f"{self.queue}:counts"


@dataclass(frozen=True)
class Contender:
    """One built app and the ways to start a run on it."""

    app: Celery
    client: inngest.Inngest
    start: dict[str, Callable[[str, int], object]]


def build(setup: Setup) -> Contender:
    """Make the app, with its tasks and functions."""
    app = Celery("benchmark", broker=setup.broker, backend=setup.notices, set_as_current=False)
    app.conf.update(
        task_default_queue=setup.queue,
        worker_hijack_root_logger=False,
        inngest_database_url=setup.database,
        inngest_slice=setup.slice,
        inngest_encryption_keys=[setup.key] if setup.key else [],
    )
    client = inngest.Inngest(app_id="benchmark", celery=app, is_production=False)
    finished = _Finished(setup)
    plain, link = _celery_tasks(app, finished)
    _functions(client, finished)
    if setup.count:
        counting.install()
    return Contender(
        app,
        client,
        {
            "plain": lambda run, steps: plain.delay(run, steps),
            "chain": lambda run, steps: chain(*(link.si(run, left) for left in reversed(range(steps)))).delay(),
            "async": lambda run, steps: _send(client, "five/async", run, steps),
            "sync": lambda run, steps: _send(client, "five/sync", run, steps),
        },
    )


def _send(client: inngest.Inngest, name: str, run: str, steps: int) -> None:
    client.send_sync(inngest.Event(name=name, data={"run": run, "steps": steps}))


def _celery_tasks(app: Celery, finished: _Finished) -> tuple[Task, Task]:
    @app.task(name="plain", ignore_result=True)  # type: ignore[untyped-decorator]
    def plain(run: str, left: int) -> None:
        if left > 1:
            plain.delay(run, left - 1)
        else:
            finished.note(run)

    @app.task(name="link")  # type: ignore[untyped-decorator]
    def link(run: str, left: int) -> int:
        if not left:
            finished.note(run)
        return left

    return plain, link


def _functions(client: inngest.Inngest, finished: _Finished) -> None:
    # Like the plain task: the database has the outputs all the same.
    options = {"ignore_result": True}

    async def work(number: int) -> int:
        return number

    def work_sync(number: int) -> int:
        return number

    @client.create_function(
        fn_id="five-async", trigger=inngest.TriggerEvent(event="five/async"), celery_options=options
    )
    async def five_async(ctx: inngest.Context) -> None:
        for number in range(int(str(ctx.event.data["steps"]))):
            await ctx.step.run(f"step-{number}", work, number)
        finished.note(str(ctx.event.data["run"]))

    @client.create_function(fn_id="five-sync", trigger=inngest.TriggerEvent(event="five/sync"), celery_options=options)
    def five_sync(ctx: inngest.ContextSync) -> None:
        for number in range(int(str(ctx.event.data["steps"]))):
            ctx.step.run(f"step-{number}", work_sync, number)
        finished.note(str(ctx.event.data["run"]))


class _Finished:
    """Tells of a finished run once its last task is over, and so all that it commits is committed."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._redis = redis.Redis.from_url(setup.notices)
        self._runs: list[str] = []
        signals.task_postrun.connect(self._tell)

    def note(self, run: str) -> None:
        self._runs.append(run)

    def _tell(self, task: Task, **_: object) -> None:
        # Steps that a worker takes in place are tasks too; the run is over when the task that came by message is.
        if task.request.is_eager:
            return
        if self._setup.count:
            counting.report(self._redis, self._setup.counts_key)
        while self._runs:
            self._redis.rpush(self._setup.done_key, self._runs.pop())
