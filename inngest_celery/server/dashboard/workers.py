"""Workers and queues: who is there, who consumes what, and what nobody does."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Request
from redis import RedisError
from starlette.responses import Response

from inngest_celery.drivers.connect.presence import Connection
from inngest_celery.server.rendering import page
from inngest_celery.server.state import Server, Serving
from inngest_celery.store import functions, leases, statistics
from inngest_celery.store.functions import FunctionRow
from inngest_celery.worker.inspection import Inspected, Inspection

router = APIRouter()

# Beyond this, what is due has been left alone: a sweep comes every second.
_LATE_MS = 20_000


@router.get("/workers")
def show_workers(request: Request, server: Serving, ask: bool = False) -> Response:
    """Show what the database knows at once, and on the next request what workers and broker say, who take a second."""
    now = server.runtime.clock.now()
    with server.runtime.database.autocommit() as connection:
        rows = [row for row in functions.all_of(connection) if row.archived_at is None]
        sweep = leases.holder(connection, leases.SWEEP)
        next_sweep_at = statistics.next_sweep_at(connection)
    users = _users(server, rows)
    found = _inspected(request, list(users)) if ask else None
    consumed = {queue.name for queue in found.queues if queue.consumers} if found else set()
    return page(
        request,
        "workers.html",
        now=now,
        sweep=sweep if sweep and sweep[1] > now else None,
        behind=now - next_sweep_at if next_sweep_at is not None and now - next_sweep_at > _LATE_MS else None,
        users=users,
        found=found,
        unconsumed={name: users[name] for name in sorted(users.keys() - consumed)},
        connections=_connections(server, now) if found else [],
        flower_url=server.settings.flower_url.rstrip("/"),
    )


def _users(server: Server, rows: Sequence[FunctionRow]) -> dict[str, list[str]]:
    """Give the queues that we need, each with the functions that use it."""
    found: dict[str, list[str]] = {server.runtime.route_queue: []}
    for row in sorted(rows, key=lambda row: row.id):
        found.setdefault(row.queue, []).append(row.id)
    return found


def _inspected(request: Request, queues: Sequence[str]) -> Inspected:
    inspection: Inspection = request.app.state.inspection
    return inspection.look(queues)


def _connections(server: Server, now: int) -> list[Connection] | None:
    """Give the apps that have dialled in; ``None`` if Redis does not answer."""
    if server.runtime.redis_url is None:
        return []
    try:
        return server.runtime.channel.presence.all(now)
    except RedisError:
        return None
