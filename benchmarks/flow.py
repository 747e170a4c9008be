"""``python -m benchmarks.flow``: how exact limits are, what they cost, and that nobody polls; on PostgreSQL and Redis.

Counted and seen from inside the steps, with four worker processes. ``tests/e2e/test_flow.py`` asserts the same.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import redis
import sqlalchemy as sa
from rich.console import Console

from benchmarks import report, stacks
from tests.e2e.limited import PREFIX, Limited, most_at_once, most_begun_within
from tests.worker_process import WorkerProcess

_STACK = "postgres + redis"
# As in production.
_SETTINGS: dict[str, Any] = {"lease": 30, "hint_timeout": 10, "sweep_interval": 1, "horizon": 60}
_WATCHED_S = 20.0


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    console = Console(width=None if sys.stdout.isatty() else 140)
    if reason := stacks.why_not(_STACK):
        console.print(f"{_STACK}: left out, {reason}")
        return 1
    parts: dict[str, Callable[[Limited], dict[str, str]]] = {
        f"Concurrency 3, {options.runs} runs, four processes": lambda limited: _exactness(limited, options.runs),
        "Throttle, 20 a second and 5 more at once": _throttle,
        f"{options.waiting} jobs in line, nothing else": lambda limited: _waiting(limited, options.waiting),
        f"{options.keys} keys": lambda limited: _keys(limited, options.keys),
    }
    with stacks.opened(_STACK) as stack:
        for number, (title, part) in enumerate(parts.items()):
            directory = stack.directory / f"flow-{number}"
            directory.mkdir()
            with redis.Redis.from_url(stack.broker) as client:
                client.flushdb()
            with ExitStack() as closing, console.status(title):
                limited = _open(stack, directory, closing)
                found = part(limited)
            report.show_pairs(console, title, found)
    return 0


def _open(stack: stacks.Stack, directory: Path, closing: ExitStack) -> Limited:
    numbers = count(1)

    def start(app: str, **options: Any) -> WorkerProcess:
        worker = WorkerProcess(app, directory / f"w{next(numbers)}.log", **options)
        closing.callback(worker.close)
        worker.wait_ready()
        return worker

    limited = Limited(stack.new_database(), stack.broker, stack.broker, directory, start, **_SETTINGS)
    closing.callback(limited.close)
    for _ in range(2):
        limited.worker(pool="prefork", concurrency=2)
    return limited


def _exactness(limited: Limited, runs: int) -> dict[str, str]:
    before = _commands(limited)
    began = time.monotonic()
    limited.send("bulk", runs, seconds=0.002)
    limited.wait_for_runs(timeout=1200)
    took = time.monotonic() - began
    limited.check_all_done()
    scripts = _commands(limited) - before
    return {
        "most at once, as the bodies saw it": str(most_at_once(limited.bodies())),
        "processes that took part": str(len({body.process for body in limited.bodies()})),
        "runs a second": f"{runs / took:.0f}",
        "scripts for each admitted job": f"{scripts / runs:.2f}",
    }


def _throttle(limited: Limited) -> dict[str, str]:
    limited.send("paced", 330)
    limited.wait_for_runs(timeout=120)
    limited.check_all_done()
    bodies = limited.bodies()
    times = sorted(body.began for body in bodies)[50:]
    return {
        "starts a second, after the first 50": f"{(len(times) - 1) / (times[-1] - times[0]):.2f}",
        "most in a moment (at most 25)": str(most_begun_within(bodies, 0.01)),
        "most in a second (at most 25 + 20)": str(most_begun_within(bodies, 1.0)),
        "most in ten seconds (at most 25 + 200)": str(most_begun_within(bodies, 10.0)),
    }


def _waiting(limited: Limited, number: int) -> dict[str, str]:
    limited.gate.touch()
    limited.send("one", number + 1)
    limited.wait_for_line(number, timeout=300)
    scripts, commands, transactions = _commands(limited), _commands(limited, all_of_them=True), _transactions(limited)
    time.sleep(_WATCHED_S)
    minutes = _WATCHED_S / 60
    found = {
        "scripts a minute": f"{(_commands(limited) - scripts) / minutes:.0f}",
        "Redis commands a minute, the broker's and the workers' included": (
            f"{(_commands(limited, all_of_them=True) - commands) / minutes:.0f}"
        ),
        "SQL transactions a minute, sweeps included": f"{(_transactions(limited) - transactions) / minutes:.0f}",
    }
    limited.gate.unlink()
    limited.wait_for_runs(timeout=300)
    return found


def _keys(limited: Limited, number: int) -> dict[str, str]:
    limited.gate.touch()
    limited.send("many", number, keys=number)
    limited.wait_for_line(number - 4, timeout=600)
    waiting = _memory(limited)
    limited.gate.unlink()
    limited.wait_for_runs(timeout=1200)
    limited.check_all_done()
    return {
        "bytes in Redis for each key that waits": f"{waiting / number:.0f}",
        "bytes in Redis for each idle key": f"{_memory(limited) / number:.1f}",
    }


def _memory(limited: Limited) -> int:
    with redis.Redis.from_url(limited.redis_url) as client:
        return sum(client.memory_usage(key) or 0 for key in client.scan_iter(f"{PREFIX}:*", count=1000))


def _commands(limited: Limited, *, all_of_them: bool = False) -> int:
    with redis.Redis.from_url(limited.redis_url) as client:
        found: dict[str, dict[str, int]] = client.info("commandstats")
    wanted = found if all_of_them else {"cmdstat_evalsha", "cmdstat_eval"} & found.keys()
    return sum(found[name]["calls"] for name in wanted)


def _transactions(limited: Limited) -> int:
    query = sa.text("select xact_commit + xact_rollback from pg_stat_database where datname = current_database()")
    with limited.runtime.database.autocommit() as connection:
        connection.execute(sa.text("select pg_stat_clear_snapshot()"))
        return int(connection.execute(query).scalar_one())


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flow", description=__doc__)
    parser.add_argument("--runs", type=int, default=5000, help="runs behind one limit (%(default)s)")
    parser.add_argument("--waiting", type=int, default=500, help="jobs that stand in line (%(default)s)")
    parser.add_argument("--keys", type=int, default=10_000, help="keys of one function (%(default)s)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
