"""The Celery app of a Django project."""

from __future__ import annotations

import os

from celery import Celery
from celery.app.utils import find_app


def project_app() -> Celery | None:
    """Give the project's Celery app: what ``CELERY_APP`` names, else what ``celery -A <project>`` would find.

    The project is the package that the settings module is in, or one that this is in: the outermost that has an app.
    ``None`` if none has.
    """
    named = os.environ.get("CELERY_APP")
    if named:
        app: Celery = find_app(named)
        return app
    *packages, module = os.environ.get("DJANGO_SETTINGS_MODULE", "").split(".")
    for depth in range(1, max(len(packages), 1) + 1):
        found = _app_of(".".join([*packages, module][:depth]))
        if found is not None:
            return found
    return None


def _app_of(package: str) -> Celery | None:
    try:
        found: Celery = find_app(package)
    except ModuleNotFoundError as error:
        # The package itself, what it is in, or its module celery: anything else is missing in the project's own code.
        if error.name is None or error.name.partition(".")[0] != package.partition(".")[0]:
            raise
        return None
    except (AttributeError, ValueError):
        return None
    return found
