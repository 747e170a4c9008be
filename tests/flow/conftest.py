"""A gate on each Redis that there is: Valkey, Redis, and a cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from inngest_celery.flow.gate import Gate
from tests.flow.world import CALL_MS


@pytest.fixture
def gate(redis_url: str) -> Iterator[Gate]:
    gate = Gate(redis_url, "inngest", CALL_MS)
    yield gate
    gate.client.close()
