"""The limited app with its database, broker, Redis and workers, and what its bodies did when."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import redis
import sqlalchemy as sa

import inngest_celery as inngest
from inngest_celery.store import schema
from inngest_celery.store.jobs import PARKED_MS
from inngest_celery.store.rows import RunStatus
from tests.e2e.web import Web
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess

APP = "tests.e2e.limited_app"
LEASE = 1.0
PREFIX = "inngest"
# What Redis may keep when nothing is to be done: what the limits are, what throttles gave, when to look again.
_KEPT = ("alive", "armed", "limits", "lost", "marker", "paid", "set", "spent", "tat", "timers", "turn")
_SEND_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Body:
    """One execution of a step's body. Times are seconds since 1970.

    Attributes:
        ended: ``None`` for one that was cut off, or goes on.
    """

    function: str
    key: str
    run: str
    step: str
    process: int
    began: float
    ended: float | None


def read_journal(path: Path) -> list[Body]:
    """Give all executions, in the order in which they began."""
    bodies: dict[str, Body] = {}
    for line in path.read_text().splitlines():
        what, function, key, run, step, process, execution, at = line.split()
        if what == "begin":
            bodies[execution] = Body(function, key, run, step, int(process), float(at), None)
        else:
            bodies[execution] = replace(bodies[execution], ended=float(at))
    return list(bodies.values())


def most_at_once(bodies: Iterable[Body], *, but: Iterable[tuple[float, float]] = ()) -> int:
    """Give how many bodies executed at the same time at most.

    A body that was cut off counts for the moment of its beginning only.

    Args:
        but: stretches of time that do not count, from the first moment to the last.
    """
    changes: list[tuple[float, int]] = []
    for body in bodies:
        # An end comes before a beginning at the same moment.
        changes += [(body.began, 1), (body.ended or body.began + 1e-6, -1)]
    # What goes on when such a stretch ends counts then.
    excused = sorted(but)
    changes += [(end, 0) for _, end in excused]
    now = most = 0
    for at, change in sorted(changes):
        now += change
        if not any(start <= at < end for start, end in excused):
            most = max(most, now)
    return most


def runs_of(bodies: Iterable[Body]) -> list[Body]:
    """Give each run as one body, from its first beginning to its last end: so long it has a place among the runs."""
    spans: dict[str, Body] = {}
    for body in bodies:
        first = spans.get(body.run, body)
        ended = max((each.ended for each in (first, body) if each.ended is not None), default=None)
        began = min(first.began, body.began)
        spans[body.run] = Body(body.function, body.key, body.run, "", first.process, began, ended)
    return list(spans.values())


def most_begun_within(bodies: Iterable[Body], seconds: float) -> int:
    """Give how many bodies began in any stretch of time of this length at most.

    By GCRA that may be ``limit + burst`` and ``limit * seconds / period`` more.
    """
    times = sorted(body.began for body in bodies)
    return max((bisect.bisect_left(times, at + seconds) - index for index, at in enumerate(times)), default=0)


class Limited(Web):
    """Sends events like a web process that runs none of the functions, and looks into the database and Redis.

    Args:
        redis_url: where the limits are kept.
        app: the workers' app.
        count_statements: whether the workers count the SQL statements that they execute.
        settings: of the workers, without their prefix; times are short unless they say otherwise.
    """

    def __init__(
        self,
        database_url: str,
        broker_url: str,
        redis_url: str,
        directory: Path,
        start_worker: Callable[..., WorkerProcess],
        *,
        app: str = APP,
        count_statements: bool = False,
        **settings: object,
    ) -> None:
        kept = {"redis_url": redis_url, "redis_prefix": PREFIX, "lease": LEASE}
        super().__init__(app, database_url, broker_url, directory, start_worker, **{**kept, **settings})
        self.redis_url = redis_url
        self._statements = directory / "statements"
        if count_statements:
            self.environment["STATEMENTS"] = str(self._statements)
        self._sent: Counter[str] = Counter()

    def send(self, function: str, number: int, *, keys: int = 1, seconds: float = 0.0) -> list[str]:
        """Start runs of a function, spread over so many keys; give the ids of their events."""
        first = self._sent[function]
        self._sent[function] += number
        events = [
            inngest.Event(name=f"limited/{function}", data={"key": f"k{at % keys}", "seconds": seconds})
            for at in range(first, first + number)
        ]
        return [
            id
            for at in range(0, number, _SEND_AT_ONCE)
            for id in self.client.send_sync(events[at : at + _SEND_AT_ONCE])
        ]

    def stop_runs(self, key: str) -> None:
        """Send the event that cancels all runs of a key."""
        self.client.send_sync(inngest.Event(name="limited/stop", data={"key": key}))

    def purge(self) -> int:
        """Throw away all messages that wait in the broker; give their number."""
        with self.celery.connection_for_write() as connection:
            return int(connection.default_channel.queue_purge(self.celery.conf.task_default_queue) or 0)

    # What happened

    def statements(self) -> int:
        """Give how many SQL statements the workers have executed, if they count them."""
        return self._statements.stat().st_size

    def looked_at_later(self) -> int:
        """Give how many jobs no sweep will look at for minutes."""
        later = self.runtime.clock.now() + PARKED_MS // 2
        return int(self.ask(sa.select(sa.func.count()).where(schema.job.c.sweep_at > later))[0][0])

    def bodies(self, *functions: str) -> list[Body]:
        """Give the executions of step bodies, of all functions or these."""
        return [body for body in read_journal(self.journal) if not functions or body.function in functions]

    def ended(self, *functions: str) -> int:
        """Give how many runs have ended, of all functions or these."""
        run = schema.run
        query = sa.select(sa.func.count()).where(run.c.status >= RunStatus.COMPLETED.value)
        if functions:
            query = query.where(run.c.function_id.in_([f"limited-{name}" for name in functions]))
        return int(self.ask(query)[0][0])

    def wait_for_bodies(self, number: int, *functions: str, timeout: float = 60.0) -> None:
        """Wait until so many bodies have begun."""
        wait_until(lambda: len(self.bodies(*functions)) >= number, timeout, self.describe)

    def wait_for_runs(self, *functions: str, timeout: float = 120.0) -> None:
        """Wait until every run of all functions, or these, has ended."""
        sent = sum(number for name, number in self._sent.items() if not functions or name in functions)
        wait_until(lambda: self.ended(*functions) >= sent, timeout, self.describe, every=0.05)

    def in_line(self) -> int:
        """Give how many jobs stand in line."""
        with redis.Redis.from_url(self.redis_url) as client:
            return sum(client.zcard(key) for key in client.scan_iter(f"{PREFIX}:*:line:*", count=1000))

    def wait_for_line(self, length: int, timeout: float = 60.0) -> None:
        """Wait until so many jobs stand in line."""
        wait_until(lambda: self.in_line() == length, timeout, lambda: f"{self.in_line()} in line\n{self.describe()}")

    def describe(self) -> str:
        """What there is, for the report of a failure."""
        lines = [f"sent: {dict(self._sent)}, ended: {self.ended()}"]
        with self.runtime.database.autocommit() as connection:
            for table in (schema.run, schema.job):
                query = sa.select(table)
                if table is schema.run:
                    query = query.where(schema.run.c.status < RunStatus.COMPLETED.value)
                lines += [f"{table.name}: {dict(row._mapping)}" for row in connection.execute(query.limit(10))]
        try:
            lines += [f"redis: {key}" for key in self.redis_keys()[:50]]
        except redis.RedisError as error:
            lines.append(f"redis: {error}")
        return "\n".join(lines)

    def redis_keys(self) -> list[str]:
        """Give what flow control keeps in Redis."""
        with redis.Redis.from_url(self.redis_url, decode_responses=True, socket_timeout=2) as client:
            return sorted(client.scan_iter(f"{PREFIX}:*", count=1000))

    # What must be true

    def check_all_done(self, *, cancelled: int = 0) -> None:
        """Assert that every run was completed, each of its steps recorded once, and that nothing is left over.

        Args:
            cancelled: how many were not completed, but cancelled.
        """
        with self.runtime.database.autocommit() as connection:
            runs = list(connection.execute(sa.select(schema.run)))
            steps = Counter(connection.execute(sa.select(schema.step.c.run_id)).scalars())
        by_status = Counter(RunStatus(row.status) for row in runs)
        assert by_status.pop(RunStatus.CANCELLED, 0) == cancelled, self.describe()
        assert by_status.keys() <= {RunStatus.COMPLETED}, self.describe()
        found = Counter(row.function_id.removeprefix("limited-") for row in runs)
        assert found == self._sent, "a run was lost or doubled"
        completed = {row.id for row in runs if row.status == RunStatus.COMPLETED.value}
        begun = {(body.run, body.step) for body in self.bodies() if body.run in completed}
        assert sum(steps[run] for run in completed) == len(begun), (
            "a step was recorded that never ran, or ran and was not recorded"
        )
        self.check_nothing_left()

    def check_nothing_left(self, timeout: float = 3 * LEASE) -> None:
        """Assert that no job is left, and soon no place or call either: that may take until a lease ends."""
        assert self.count(schema.job) == 0, self.describe()
        wait_until(lambda: not self._left_in_redis(), timeout, lambda: f"an empty line: {self._left_in_redis()}")

    def _left_in_redis(self) -> list[str]:
        # ``<prefix>:marker`` and the like, and ``<prefix>:{<tag>}:<what>:<of what>``.
        left = []
        for key in self.redis_keys():
            what = key.removeprefix(f"{PREFIX}:").rpartition("}:")[2]
            if what.partition(":")[0] not in _KEPT:
                left.append(key)
        return left
