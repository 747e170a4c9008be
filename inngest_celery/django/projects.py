"""The Celery app of a Django project."""

from __future__ import annotations

import os

from celery import Celery
from celery.app.utils import find_app


def project_app() -> Celery | None:
    """Give the project's Celery app: what ``CELERY_APP`` names, else what ``celery -A <project>`` would find.

    The project is the package that the settings module is in. ``None`` if there is no app.
    """
    named = os.environ.get("CELERY_APP")
    if named:
        app: Celery = find_app(named)
        return app
    package = os.environ.get("DJANGO_SETTINGS_MODULE", "").partition(".")[0]
    try:
        found: Celery = find_app(package)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        return None
    except (AttributeError, ValueError):
        return None
    return found
