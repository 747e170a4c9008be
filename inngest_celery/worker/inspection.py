"""What the Celery workers say of themselves, and how long the broker's queues are. Nothing of it is kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from amqp.exceptions import ChannelError
from celery import Celery

from inngest_celery.worker.broker import BROKER_ERRORS
from inngest_celery.worker.runtime import Runtime

_BROKER_TIMEOUT_S = 2.0
# Several people who look on ask once together.
_FRESH_S = 3.0


@dataclass(frozen=True, slots=True)
class ActiveTask:
    """A task that a worker executes.

    Attributes:
        name: of a function's step ``<app>/<function> · <step>``.
        began_at: milliseconds since 1970; ``None`` if the worker does not tell.
    """

    id: str
    name: str
    began_at: int | None


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A Celery worker, with or without our functions.

    Attributes:
        pool: how it executes tasks, such as ``prefork``.
        concurrency: how many it executes at a time; ``None`` if it does not tell.
        done: how many tasks it has executed since its start.
        active: ``None`` if it has not told in time.
    """

    name: str
    pool: str
    concurrency: int | None
    pid: int | None
    uptime_s: int | None
    done: int
    queues: list[str]
    active: list[ActiveTask] | None


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """A queue.

    Attributes:
        length: messages that no worker has fetched; ``None`` if the broker does not tell.
        consumers: the workers that take from it.
    """

    name: str
    length: int | None
    consumers: list[str]


@dataclass(frozen=True, slots=True)
class Inspected:
    """What was found.

    Attributes:
        broker_error: why the broker cannot be asked; then nothing else is known.
    """

    workers: list[WorkerInfo] = field(default_factory=list)
    queues: list[QueueInfo] = field(default_factory=list)
    broker_error: str | None = None


class Inspection:
    """Asks workers and broker, once for all who want to know at the same time.

    Args:
        runtime: of the app.
        timeout: seconds to wait for the answers of workers.
    """

    def __init__(self, runtime: Runtime, timeout: float = 1.0) -> None:
        self._runtime = runtime
        self._timeout = timeout
        self._lock = threading.Lock()
        self._found = Inspected()
        self._about: frozenset[str] = frozenset()
        self._at = -_FRESH_S

    def look(self, queues: Collection[str]) -> Inspected:
        """Give the workers, and the queues that they consume besides these."""
        with self._lock:
            wanted = frozenset(queues)
            if wanted != self._about or time.monotonic() - self._at >= _FRESH_S:
                self._found = self._ask(wanted)
                self._about, self._at = wanted, time.monotonic()
            return self._found

    def _ask(self, queues: frozenset[str]) -> Inspected:
        app = self._runtime.app
        try:
            with app.connection_for_read() as connection:
                connection.ensure_connection(max_retries=1, interval_start=0, timeout=_BROKER_TIMEOUT_S)
                workers = _workers(app, self._timeout)
                consumers: dict[str, list[str]] = {name: [] for name in queues}
                for worker in workers:
                    for name in worker.queues:
                        consumers.setdefault(name, []).append(worker.name)
                lengths = _lengths(connection, sorted(consumers))
        except BROKER_ERRORS as error:
            return Inspected(broker_error=str(error) or type(error).__name__)
        return Inspected(workers, [QueueInfo(name, lengths[name], consumers[name]) for name in sorted(consumers)])


def _workers(app: Celery, timeout: float) -> list[WorkerInfo]:
    """Wait for whoever answers, once; then it is known how many answers there are to wait for."""
    stats: Mapping[str, Any] = app.control.inspect(timeout=timeout).stats() or {}
    if not stats:
        return []
    inspect = app.control.inspect(timeout=timeout, limit=len(stats))
    queues = inspect.active_queues() or {}
    active = inspect.active(safe=True) or {}
    return [
        WorkerInfo(
            name=name,
            pool=_pool_name(said),
            concurrency=(said.get("pool") or {}).get("max-concurrency"),
            pid=said.get("pid"),
            uptime_s=said.get("uptime"),
            done=sum((said.get("total") or {}).values()),
            queues=sorted(each["name"] for each in queues.get(name, [])),
            active=[_active(each) for each in active[name]] if name in active else None,
        )
        for name, said in sorted(stats.items())
    ]


def _pool_name(said: Mapping[str, Any]) -> str:
    """Give a pool's name, of what is a class's: ``celery.concurrency.prefork:TaskPool``."""
    implementation = str((said.get("pool") or {}).get("implementation", ""))
    return implementation.partition(":")[0].rpartition(".")[2]


def _active(said: Mapping[str, Any]) -> ActiveTask:
    began_at = said.get("time_start")
    return ActiveTask(str(said["id"]), str(said["name"]), None if began_at is None else round(1000 * began_at))


def _lengths(connection: Any, names: list[str]) -> dict[str, int | None]:
    channel = connection.channel()
    found: dict[str, int | None] = {}
    try:
        for name in names:
            try:
                found[name] = channel.queue_declare(name, passive=True).message_count
            except ChannelError:
                # Redis has no queue that is empty, and with RabbitMQ nobody has made this one yet.
                found[name] = 0
    finally:
        channel.close()
    return found
