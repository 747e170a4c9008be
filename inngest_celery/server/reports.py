"""The report of a run for whoever asks: of payloads it has what they may see, and of people what they may know."""

from __future__ import annotations

import json
from typing import Any

from inngest_celery.server.access import Person, Role
from inngest_celery.server.errors import ApiError
from inngest_celery.server.runs import checked
from inngest_celery.server.state import Server
from inngest_celery.server.viewing import eyes_of
from inngest_celery.worker import report_text, run_report
from inngest_celery.worker.runs import RunNotFoundError


def report_for(server: Server, person: Person, run_id: str) -> dict[str, Any]:
    """Make the report of a run.

    Args:
        person: whoever asks. The log is for admins, and so is what a report has of it.

    Raises:
        ApiError: there is no such run.

    Example: ``report_for(server, person, run_id)["digest"]``
    """
    try:
        return run_report.report(
            server.runtime, checked(run_id), eyes_of(server), names_people=person.role >= Role.ADMIN
        )
    except RunNotFoundError as error:
        raise ApiError(404, f"There is no run {run_id}", code="not_found") from error


def as_json(made: dict[str, Any]) -> str:
    """Write a report so that whoever keeps the file can read it."""
    return json.dumps(made, indent=2) + "\n"


def as_markdown(made: dict[str, Any]) -> str:
    """Write a report for people."""
    return "\n".join(report_text.as_markdown(made)) + "\n"
