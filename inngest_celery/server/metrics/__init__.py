"""``GET /metrics``: what Prometheus asks for.

Gauges are read from the database and from Redis when they are asked for, in as many statements however much there is;
counters are in :mod:`inngest_celery.server.metrics.counters`. Labels are ids of functions, names of queues and words of
ours; never what a user's data says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Depends, Request
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.responses import PlainTextResponse, Response

from inngest_celery.server.access import Role, require
from inngest_celery.server.metrics import gauges, keeping, lines
from inngest_celery.server.metrics.counters import Counters
from inngest_celery.worker.runtime import Runtime

router = APIRouter(dependencies=[Depends(require(Role.VIEWER))], tags=["metrics"])

_TEXT: dict[str, Any] = {"content": {"text/plain": {"schema": {"type": "string"}}}}


class Metrics(Collector):
    """What one server tells Prometheus.

    Args:
        runtime: of the app.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._counters = Counters(runtime)
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)

    def describe(self) -> list[Metric]:
        """Say nothing: to be registered must not read the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        snapshot = gauges.look(self._runtime)
        yield from gauges.families(snapshot, self._runtime)
        yield from lines.families(self._runtime, snapshot.functions)
        yield from keeping.families(self._runtime, snapshot.now)
        yield from self._counters.collect(snapshot.now, [row.id for row in snapshot.functions])


@router.get("/metrics", response_class=PlainTextResponse, responses={200: _TEXT})
def metrics(request: Request) -> Response:
    """Give all numbers, in the text format of Prometheus or OpenMetrics."""
    encode, kind = choose_encoder(request.headers.get("accept", ""))
    found: Metrics = request.app.state.metrics
    return Response(encode(found.registry), media_type=kind)
