"""Whoever acts on a page is an operator, and what they do stands in the log before it is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from inngest_celery.server.access import Operator, Person, audit
from inngest_celery.worker.auditing import Entry


@dataclass(frozen=True, slots=True)
class ActingPerson:
    """Somebody who may act."""

    request: Request
    person: Person

    def does(self, action: str, subject: str = "", details: Mapping[str, object] | None = None) -> Entry:
        """Write into the log what is about to be done; see :func:`~inngest_celery.server.access.audit.record`.

        Example: ``with acting.does("run.cancel", run_id): runs.cancel(run_id)``
        """
        return audit.record(self.request, self.person, action, subject, details)


def _acting(request: Request, person: Operator) -> ActingPerson:
    return ActingPerson(request, person)


Acting = Annotated[ActingPerson, Depends(_acting)]
