"""Fixtures that give each test a database and a broker of its own, on every server that can be reached."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import hypothesis
import pytest

from tests import matrix
from tests.brokers import Broker, open_broker
from tests.databases import DatabaseServer, open_server
from tests.worker_process import WorkerProcess

# Redis has 16 databases, and each process of a run needs one.
_MOST_PROCESSES = 12
_WORKERS: pytest.StashKey[list[WorkerProcess]] = pytest.StashKey()
_LOG_LINES = 200
# What starts processes.
_LONG = {"start_worker", "start_dev"}

Server = TypeVar("Server", DatabaseServer, Broker)
DatabaseServers = Callable[[str], DatabaseServer]
Brokers = Callable[[str], Broker]
StartWorker = Callable[..., WorkerProcess]


# On a busy machine an example takes a second that took a millisecond: how long it takes is nothing for a test to tell.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    matrix.register_markers(config)
    matrix.demand_required()
    # Whoever runs the tests in the background of a script ignores Ctrl-C, and so would all that they start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    # Half of a test's time is waiting, for databases and for workers that start: twice as many as there are cores.
    return min(2 * cores, _MOST_PROCESSES)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Deal the tests out so that each process begins with long ones, and all end together with short ones."""
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if processes > 1:
        items.sort(key=lambda item: _LONG.isdisjoint(getattr(item, "fixturenames", ())))
        items[:] = [item for first in range(processes) for item in items[first::processes]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    matrix.parametrize(metafunc)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    matrix.report(terminalreporter)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for worker in item.stash.get(_WORKERS, []):
            tail = "\n".join(worker.log.splitlines()[-_LOG_LINES:])
            report.sections.append((f"log of worker {worker.name}", tail))
    return report


@pytest.fixture(scope="session")
def database_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseServers]:
    """Gives the process's database server of a kind, connected on first use."""
    yield from _opened(lambda kind: open_server(kind, tmp_path_factory.mktemp(kind)))


@pytest.fixture(scope="session")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brokers]:
    """Gives the process's broker of a kind, started or connected on first use."""
    yield from _opened(lambda kind: open_broker(kind, tmp_path_factory.mktemp(kind)))


@pytest.fixture
def database_url(request: pytest.FixtureRequest, database_servers: DatabaseServers) -> Iterator[str]:
    """SQLAlchemy URL of a database of the test's own, with the product's tables and no rows."""
    yield from _database(database_servers(request.param), tables=True)


@pytest.fixture
def empty_database_url(request: pytest.FixtureRequest, database_servers: DatabaseServers) -> Iterator[str]:
    """SQLAlchemy URL of a database of the test's own, with nothing in it."""
    yield from _database(database_servers(request.param), tables=False)


@pytest.fixture
def broker_url(request: pytest.FixtureRequest, brokers: Brokers) -> str:
    """URL of an empty broker of the test's own."""
    return brokers(request.param).empty()


@pytest.fixture
def redis_url(request: pytest.FixtureRequest, brokers: Brokers) -> str:
    """URL of an empty Redis or Valkey for flow control: the test's broker where that is one, as in production."""
    if "broker_url" not in request.fixturenames:
        return brokers(request.param).empty()
    broker: str = request.getfixturevalue("broker_url")
    return broker if broker.startswith("redis") else brokers("valkey").empty()


@pytest.fixture
def clock_file(tmp_path: Path) -> Path:
    """A file for ``inngest_celery.clock.SharedClock``, for all processes of the test: ``inngest_clock=file:<path>``."""
    return tmp_path / "clock"


@pytest.fixture
def start_worker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StartWorker]:
    """Starts real workers (arguments as for ``WorkerProcess``, but the log) and waits until they are ready.

    At the end all are ended, and no process of theirs may be left. Their logs stand in the report of a failure.
    """
    # Theirs must outlive the workers, in whatever order the test names its fixtures.
    for name in {"database_url", "empty_database_url", "broker_url", "redis_url"} & set(request.fixturenames):
        request.getfixturevalue(name)
    workers: list[WorkerProcess] = []
    request.node.stash[_WORKERS] = workers

    def start(app: str, **options: object) -> WorkerProcess:
        worker = WorkerProcess(app, tmp_path / f"w{len(workers) + 1}.log", **options)  # type: ignore[arg-type]
        workers.append(worker)
        # All are ended, whatever the end of one is like.
        ends.callback(worker.close)
        worker.wait_ready()
        return worker

    with ExitStack() as ends:
        yield start


def _opened(open_one: Callable[[str], Server]) -> Iterator[Callable[[str], Server]]:
    opened: dict[str, Server] = {}

    def of(kind: str) -> Server:
        if kind not in opened:
            opened[kind] = open_one(kind)
        return opened[kind]

    yield of
    for server in opened.values():
        server.close()


def _database(server: DatabaseServer, *, tables: bool) -> Iterator[str]:
    url = server.create(tables=tables)
    yield url
    server.remove(url)
