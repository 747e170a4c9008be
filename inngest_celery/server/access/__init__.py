"""Who may do what.

People log in and have a role; programs have API tokens, SDKs the signing key, and senders of events an event key. A
route says whom it is for, and what is done is written into a log::

    @router.post("/runs/{run_id}/cancel")
    def cancel(request: Request, person: Operator, run_id: str) -> None:
        with audit.record(request, person, "run.cancel", run_id):
            ...

In ``start`` mode nothing is open. In ``dev`` mode everything is, to whoever sits at this machine.
"""

from __future__ import annotations

from inngest_celery.server.access import audit
from inngest_celery.server.access.guard import Guard
from inngest_celery.server.access.identity import Admin, Operator, Viewer, person_of, require
from inngest_celery.server.access.keys import require_event_key, require_signing_key
from inngest_celery.server.access.roles import Person, Role
from inngest_celery.server.access.senders import Sender, Senders

__all__ = [
    "Admin",
    "Guard",
    "Operator",
    "Person",
    "Role",
    "Sender",
    "Senders",
    "Viewer",
    "audit",
    "person_of",
    "require",
    "require_event_key",
    "require_signing_key",
]
