"""A bench for each test, both when runs are kept hot and when every step is a job of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from inngest_celery.testing import StandingClock
from tests.functions.bench import Bench
from tests.functions.locks import Race, race

MakeBench = Callable[..., Bench]


@pytest.fixture(params=[True, False], ids=["hot", "hop"])
def hot(request: pytest.FixtureRequest) -> bool:
    """Whether a worker keeps a run; a test that takes a bench runs both ways."""
    return bool(request.param)


@pytest.fixture
def make_bench(database_url: str, hot: bool) -> Iterator[MakeBench]:
    """Makes a bench with settings of the test's own, on which time stands unless the test moves it.

    At the end nothing may be left over in the database.
    """
    benches: list[Bench] = []

    def make(**settings: object) -> Bench:
        benches.append(Bench(database_url, hot=hot, clock=StandingClock(), **settings))
        return benches[-1]

    yield make
    try:
        for bench in benches:
            bench.check()
    finally:
        for bench in benches:
            bench.close()


@pytest.fixture
def bench(make_bench: MakeBench) -> Bench:
    return make_bench()


@pytest.fixture
def patient(make_bench: MakeBench) -> Bench:
    """A bench on which nobody loses a lease to a slow machine."""
    return make_bench(inngest_lease=60)


@pytest.fixture
def racing(patient: Bench) -> Iterator[Race]:
    """A race on that bench."""
    with race(patient) as opened:
        yield opened
