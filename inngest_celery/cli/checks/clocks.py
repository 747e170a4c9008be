"""Clocks: jobs are due by the clock of whoever looks, so the machines must agree to within a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import sqlalchemy as sa

from inngest_celery.cli.checks.findings import Deployment, Finding, warning

_TOLERANCE_S = 1.0
_NOW = {
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())",
    "mysql": "SELECT unix_timestamp(now(6))",
}


def database_clock(deployment: Deployment) -> Iterator[Finding]:
    query = _NOW.get(deployment.runtime.database.dialect)
    if query is None or not deployment.migrated:
        return
    with deployment.runtime.database.autocommit() as connection:
        connection.execute(sa.text("SELECT 1"))  # so that connecting is not measured
        yield from _compare("the database", lambda: float(connection.execute(sa.text(query)).scalar_one()))


def broker_clock(deployment: Deployment) -> Iterator[Finding]:
    if not deployment.broker_up:
        return
    with deployment.app.connection_for_read() as connection:
        if connection.transport.driver_type != "redis":
            return
        client = connection.default_channel.client

        def read() -> float:
            seconds, microseconds = client.time()
            return float(seconds) + float(microseconds) / 1e6

        yield from _compare("the broker", read)


def _compare(who: str, read: Callable[[], float]) -> Iterator[Finding]:
    before = time.time()
    theirs = read()
    after = time.time()
    difference = theirs - (before + after) / 2
    # Half of the round trip is all that the reading can be wrong by.
    if abs(difference) > _TOLERANCE_S + (after - before) / 2:
        yield warning(
            "clock_skew",
            f"The clock of {who} is {abs(difference):.1f} s {'ahead' if difference > 0 else 'behind'}, seen from here.",
            "Let all machines keep their time by NTP. Workers decide by their own clocks what is due.",
        )
