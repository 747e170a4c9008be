"""What ``manage.py check`` says about durable functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core import checks

from inngest_celery.django.projects import project_app
from inngest_celery.settings import SettingsError, settings_of
from inngest_celery.store.database import DatabaseError
from inngest_celery.store.migrate import require_migrated
from inngest_celery.worker.runtime import runtime_of

_NO_APP = checks.Warning(
    "inngest_celery.django is installed, but there is no Celery app.",
    hint="Make one in <project>/celery.py and import it in <project>/__init__.py, as Celery's guide says, or "
    "name it in the environment: CELERY_APP=proj.jobs.",
    id="inngest.W001",
)


def check_app(**_rest: Any) -> list[checks.CheckMessage]:
    """Tell whether there is a Celery app, and whether its settings of ours can be used."""
    app = project_app()
    if app is None:
        return [_NO_APP]
    try:
        settings_of(app)
    except SettingsError as error:
        return [checks.Error(str(error), id="inngest.E001")]
    return []


def check_tables(databases: Sequence[str] | None = None, **_rest: Any) -> list[checks.CheckMessage]:
    """Tell whether the tables are there: with ``manage.py check --database default``."""
    app = project_app()
    if not databases or app is None:
        return []
    try:
        require_migrated(runtime_of(app).database)
    except (DatabaseError, SettingsError) as error:
        hint = (
            "manage.py migrate makes them where runs are kept in Django's database, manage.py inngest migrate anywhere."
        )
        return [checks.Warning(str(error), hint=hint, id="inngest.W002")]
    return []
