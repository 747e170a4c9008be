"""What mutations do stands in the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from strawberry.types import Info

from inngest_celery.server.access import audit
from inngest_celery.worker.auditing import Entry


def acting(info: Info[Any, Any], action: str, subject: str, details: Mapping[str, object] | None = None) -> Entry:
    """Write into the log what a mutation is about to do, see :func:`~inngest_celery.server.access.audit.record`."""
    return audit.record(info.context["request"], info.context["person"], action, subject, details)
