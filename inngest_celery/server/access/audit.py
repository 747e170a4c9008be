"""The log of what people and programs do at the server, see :mod:`inngest_celery.worker.auditing`."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import HTTPConnection

from inngest_celery.server.access.roles import Person
from inngest_celery.server.state import Server, server_of
from inngest_celery.worker import auditing
from inngest_celery.worker.auditing import Actor, Entry


def record(
    where: HTTPConnection | Server,
    person: Person,
    action: str,
    subject: str = "",
    details: Mapping[str, object] | None = None,
    *,
    outcome: str | None = None,
) -> Entry:
    """Write into the log what somebody is about to do, in a transaction of its own, before it is done.

    As a context manager the entry adds what has become of the action within: ``done``, or the code of the error.

    Args:
        where: the request, whose address is noted; or the server.
        person: who.
        action: what, as ``run.cancel``.
        subject: what it is done to: an id or a name.
        details: more about it. Never payloads.
        outcome: what has become of it, if it is only told: then the entry is complete.

    Raises:
        sqlalchemy.exc.DBAPIError: it could not be written. The action must not be carried out.

    Example: ``with audit.record(request, person, "run.cancel", run_id): runs.cancel(run_id)``

    Mirrors https://www.inngest.com/docs/platform/manage/audit-trail
    """
    address = where.client.host if isinstance(where, HTTPConnection) and where.client else ""
    server = where if isinstance(where, Server) else server_of(where)
    told = {"token_id": person.token_id} if person.token_id else {}
    actor = Actor(person.name, person.kind, person.role.label, address)
    return auditing.begin(server.runtime, actor, action, subject, {**told, **(details or {})}, outcome=outcome)
