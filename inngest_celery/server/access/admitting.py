"""Users whom an identity provider sends: known by its id of them, never by a name that somebody else may have here."""

from __future__ import annotations

import re
from dataclasses import replace

import sqlalchemy as sa

from inngest_celery.server.access.oidc import Identity
from inngest_celery.server.access.roles import Role
from inngest_celery.server.errors import ApiError
from inngest_celery.store import users
from inngest_celery.store.conflicts import retried
from inngest_celery.store.users import UserRow
from inngest_celery.worker.runtime import Runtime

_NOT_IN_NAMES = re.compile(r"[^a-z0-9._@+-]+")
_MOST_NAME = 80


@retried
def admit(runtime: Runtime, identity: Identity) -> UserRow:
    """Give the user whom the provider sends, who is made if it is new. The provider's word on its role counts.

    Raises:
        ApiError: 403 ``user_disabled``.
    """
    with runtime.database.transaction() as connection:
        user = users.of_external(connection, identity.external) or _new(connection, identity, runtime.clock.now())
        if user.disabled_at is not None:
            raise ApiError(403, f"{user.name} has been shut out. Ask an admin.", code="user_disabled")
        if identity.role is not None and identity.role.label != user.role:
            user = replace(user, role=identity.role.label)
            users.save(connection, user)
    return user


def _new(connection: sa.Connection, identity: Identity, now: int) -> UserRow:
    name = _NOT_IN_NAMES.sub("-", identity.name.lower()).strip("._@+-")[:_MOST_NAME] or "user"
    role = identity.role or Role.VIEWER
    for written in (name, f"{name}-{identity.external[:12]}"):
        row = UserRow(written, role.label, None, identity.external, now)
        if users.add(connection, row):
            return row
        # The same one may have come twice at the same time.
        found = users.of_external(connection, identity.external)
        if found is not None:
            return found
    raise ApiError(409, f"The names {name} and its like are taken here. Ask an admin.", code="user_name_invalid")
