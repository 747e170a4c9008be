"""The column of a payload, as Django reads it."""

from __future__ import annotations

from typing import Any

from django.db import models

from inngest_celery.django.projects import project_app
from inngest_celery.store.sealed import open_value
from inngest_celery.worker.runtime import runtime_of


class PayloadField(models.TextField):
    """JSON text, decrypted with the project's keys where it is encrypted."""

    def from_db_value(self, value: str | None, _expression: Any, _connection: Any) -> str | None:
        if value is None:
            return None
        app = project_app()
        table = self.model._meta.db_table.removeprefix("inngest_")
        return open_value(runtime_of(app).keyring if app else None, value, f"{table}.{self.column}")
