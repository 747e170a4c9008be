"""Which databases and brokers a test runs on, how a run selects them, and the report of what ran.

A test that takes ``database_url`` runs once on each database there is, one that takes ``broker_url`` once on each
broker, one that takes both on every pair; one that takes ``redis_url`` and no broker once on each Redis, a cluster
among them. Markers narrow that: ``databases("sqlite")``, ``brokers("redis")``, and ``pairs`` for one broker a database
instead of all. On the command line ``-m postgres`` or ``-m "not rabbitmq"`` selects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import pytest

from tests import services

DATABASES = ("sqlite", "postgres", "mariadb")
BROKERS = ("valkey", "redis", "rabbitmq")
REDISES = ("valkey", "redis", "cluster")
EMBEDDED = {"sqlite", "valkey", "cluster"}
_MARKERS = (
    "databases(*names): run on these databases only (sqlite, postgres, mariadb)",
    "brokers(*names): run on these brokers only (valkey, redis, rabbitmq; cluster where only flow control needs one)",
    "pairs: run on sqlite+valkey, postgres+redis and mariadb+rabbitmq instead of every database with every broker",
    *(f"{name}: set on tests that run on it; for -m" for name in (*DATABASES, *BROKERS, "cluster")),
)


def available(names: Iterable[str]) -> list[str]:
    """Those of the databases or brokers that this run can use."""
    return [name for name in names if name in EMBEDDED or name not in services.missing()]


def register_markers(config: pytest.Config) -> None:
    """Make the markers known."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)


def demand_required() -> None:
    """Refuse to start where a required service is not there.

    Raises:
        pytest.UsageError: names the services, and why they cannot be used.
    """
    try:
        lacking = {name: services.missing()[name] for name in services.required() & services.missing().keys()}
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
    if lacking:
        lines = [f"{name} is required for this run, but cannot be used: {why}" for name, why in lacking.items()]
        raise pytest.UsageError("\n".join(lines))


def parametrize(metafunc: pytest.Metafunc) -> None:
    """Give the test its databases and brokers."""
    wants = set(metafunc.fixturenames)
    databases = _selected(metafunc, "databases", DATABASES)
    brokers = _selected(
        metafunc, "brokers", REDISES if wants & {"redis_url", "broker_url"} == {"redis_url"} else BROKERS
    )
    if {"database_url", "broker_url"} <= wants and metafunc.definition.get_closest_marker("pairs"):
        pairs = [pair for pair in zip(DATABASES, BROKERS, strict=True) if pair[0] in databases and pair[1] in brokers]
        _parametrize(metafunc, ("database_url", "broker_url"), pairs)
        return
    for fixture in ("database_url", "empty_database_url"):
        if fixture in wants:
            _parametrize(metafunc, (fixture,), [(name,) for name in databases])
    if "broker_url" in wants:
        _parametrize(metafunc, ("broker_url",), [(name,) for name in brokers])
    elif "redis_url" in wants:
        _parametrize(metafunc, ("redis_url",), [(name,) for name in brokers])


def report(terminal: pytest.TerminalReporter) -> None:
    """Say what of the matrix was exercised, and why the rest was not."""
    ran: Counter[str] = Counter()
    for outcome in ("passed", "failed"):
        for done in terminal.stats.get(outcome, []):
            if done.when == "call":
                ran.update(set(done.keywords) & {*DATABASES, *BROKERS, *REDISES})
    terminal.section("matrix")
    for title, names in (("databases", DATABASES), ("brokers", (*BROKERS, "cluster"))):
        terminal.line(f"{title}: " + (", ".join(f"{name} {ran[name]} tests" for name in names if ran[name]) or "none"))
    for name, why in services.missing().items():
        terminal.line(f"not run on {name}: {why}")


def _selected(metafunc: pytest.Metafunc, marker: str, names: tuple[str, ...]) -> list[str]:
    found = metafunc.definition.get_closest_marker(marker)
    wanted: tuple[str, ...] = found.args if found else names
    if unknown := set(wanted) - set(names):
        raise pytest.UsageError(f"{metafunc.definition.nodeid}: {marker} knows no {', '.join(sorted(unknown))}")
    return available(wanted)


def _parametrize(metafunc: pytest.Metafunc, fixtures: tuple[str, ...], values: Sequence[tuple[str, ...]]) -> None:
    params = [
        pytest.param(*value, marks=[getattr(pytest.mark, name) for name in value], id="-".join(value))
        for value in values
    ]
    metafunc.parametrize(fixtures, params, indirect=True)
