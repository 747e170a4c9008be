"""Starts workers by forking a process that has imported what all of them import: that is half of what a start costs.

``python -m tests.nursery`` reads an order a line on the socket that is its standard input, and answers with a pid.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TypedDict

ROOT = Path(__file__).parents[1]
# What Celery and SQLAlchemy import by name when a worker starts, and what is imported under a condition.
_MODULES = (
    *("celery.__main__", "celery.bin.celery", "celery.bin.worker", "celery.apps.worker", "celery.app.amqp"),
    *("celery.app.control", "celery.app.events", "celery.app.log", "celery.backends.redis", "celery.backends.rpc"),
    *("celery.concurrency.prefork", "celery.concurrency.solo", "celery.concurrency.thread", "celery.events.state"),
    *("celery.loaders.app", "celery.worker.autoscale", "celery.worker.consumer", "celery.worker.strategy"),
    *("kombu.transport.redis", "kombu.transport.pyamqp", "sqlalchemy.orm", "psycopg", "pymysql", "sqlite3", "httpx"),
    *("sqlalchemy.dialects.sqlite", "sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.dialects.mysql.pymysql"),
)
_PACKAGES = ("sdk", "engine", "store", "flow", "drivers.native", "drivers.http", "worker")


class Order(TypedDict):
    """A worker to be started: as what program, where, what its output goes to, and from what source if not this one."""

    argv: list[str]
    env: dict[str, str]
    directory: str
    log: str
    source: str


def start(argv: Sequence[str], env: Mapping[str, str], log: Path, source: Path | None = None) -> int:
    """Start ``python -m celery`` with these arguments, in a session of its own, and give its pid.

    Args:
        env: all its variables.
        log: where its output goes.
        source: the tree of another version, which it is to run in place of this one.
    """
    wire = _nursery()
    where = {"directory": os.getcwd(), "log": str(log), "source": str(source or "")}  # noqa: PTH109
    order = Order(argv=list(argv), env=dict(env), **where)  # type: ignore[typeddict-item]
    wire.write(json.dumps(order).encode() + b"\n")
    wire.flush()
    return int(wire.readline())


@cache
def _nursery() -> socket.SocketIO:
    """Give a connection to this process's nursery. It ends with it."""
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.nursery"],
        cwd=ROOT,
        # Unbuffered, as workers are: what they print is read while they run.
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdin=theirs,
        start_new_session=True,
    )
    theirs.close()
    wire = ours.makefile("rwb")
    assert wire.readline() == b"ready\n"
    atexit.register(lambda: (wire.close(), ours.close(), process.wait()))
    return wire  # type: ignore[return-value]


def _serve() -> Order | None:
    """Fork for every order. Gives it in the new process, and nothing when there will be no more."""
    wire = socket.socket(fileno=os.dup(0)).makefile("rwb")
    # Nobody waits for the workers: the kernel buries them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    wire.write(b"ready\n")
    wire.flush()
    for line in iter(wire.readline, b""):
        if os.fork() == 0:
            # Its session stands before anybody knows of it.
            os.setsid()
            wire.write(b"%d\n" % os.getpid())
            wire.close()
            order: Order = json.loads(line)
            return order
    return None


def _become(order: Order) -> None:
    """Be as a process that was started with this order."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(log)
    os.close(nothing)
    os.chdir(order["directory"])
    os.environ.clear()
    os.environ.update(order["env"])
    if order["source"]:
        # The directory comes first of all where Python looks for modules.
        os.chdir(order["source"])
        os.environ["PYTHONPATH"] = os.pathsep.join([order["source"], os.environ["PYTHONPATH"]])
        os.execv(sys.executable, [sys.executable, "-m", "celery", *order["argv"]])
    sys.argv = ["celery", *order["argv"]]
    sys.path[:0] = [order["directory"], *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    # It reads its variable when it is imported.
    importlib.reload(importlib.import_module("inngest_celery.crash"))


def _prepare() -> None:
    for name in _MODULES:
        importlib.import_module(name)
    for package in _PACKAGES:
        found = importlib.import_module(f"inngest_celery.{package}")
        for module in pkgutil.walk_packages(found.__path__, f"{found.__name__}."):
            importlib.import_module(module.name)
    # No collection touches, and so copies, what all share.
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    _prepare()
    if (given := _serve()) is not None:
        _become(given)
        from celery.__main__ import main

        main()
