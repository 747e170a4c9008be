"""The installable app: where runs are by default, their tables' migration, checks, admin."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.core import checks
from django.db import connections
from django.db.models.signals import post_migrate

from inngest_celery import settings


class InngestConfig(AppConfig):
    """``inngest_celery.django`` in ``INSTALLED_APPS``."""

    name = "inngest_celery.django"
    label = "inngest"
    verbose_name = "Durable functions"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from inngest_celery.django import checking

        if _default_database not in settings.database_defaults:
            settings.database_defaults.append(_default_database)
        post_migrate.connect(_migrate, sender=self, dispatch_uid="inngest_celery")
        checks.register(checking.check_app)
        checks.register(checking.check_tables, checks.Tags.database)


def _default_database() -> str:
    from inngest_celery.django.urls_of_databases import database_url

    return database_url(connections["default"].settings_dict)


def _migrate(using: str, **_rest: Any) -> None:
    from inngest_celery.django.migrating import migrate

    migrate(using)
