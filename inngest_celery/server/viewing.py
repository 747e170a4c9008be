"""Whose eyes a request has: what it is shown of payloads goes through them.

Every route is given its server by :data:`inngest_celery.server.state.Serving`, and ``eyes_of(server)`` are those of
whoever asks. Where nobody is known, they are those of somebody who may only look.
"""

from __future__ import annotations

from inngest_celery.engine.viewing import ROLES, Eyes
from inngest_celery.server.access.identity import person_of
from inngest_celery.server.access.roles import Person
from inngest_celery.server.state import Server


def eyes_of(server: Server) -> Eyes:
    """Give the eyes of whoever has made the request that a server was given for.

    Example: ``shown = eyes_of(server).event(event)``
    """
    runtime = server.runtime
    if not runtime.settings.masking or server.request is None:
        return runtime.eyes
    return runtime.eyes_of[_role_of(person_of(server.request), reveals=runtime.settings.masking_reveal_to_apps)]


def _role_of(person: Person | None, *, reveals: bool) -> str:
    """Give the role that counts. A development server asks nobody who they are; an app has a key, and is nobody."""
    if person is None or person.kind == "development":
        return "viewer"
    if person.kind == "signing_key":
        return "operator" if reveals else "viewer"
    return person.role.label if person.role.label in ROLES else "viewer"
