"""A server for each test, on every database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.functions.bench import Bench
from tests.server.stage import Stage, staged


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    bench = Bench(database_url)
    try:
        yield bench
        bench.check()
    finally:
        bench.close()


@pytest.fixture
def stage(bench: Bench) -> Iterator[Stage]:
    with staged(bench) as stage:
        yield stage
