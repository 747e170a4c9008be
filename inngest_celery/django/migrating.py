"""``manage.py migrate`` makes the tables of runs, too, where they are in the database that it migrates."""

from __future__ import annotations

from django.db import connections

from inngest_celery.django.borrowed import borrowed
from inngest_celery.django.projects import project_app
from inngest_celery.django.urls_of_databases import database_url
from inngest_celery.settings import SettingsError, settings_of
from inngest_celery.store import schema
from inngest_celery.store.database import Database
from inngest_celery.store.migrate import upgrade


def migrate(using: str) -> None:
    """Bring our tables in a database of Django's up to date, if runs are kept there."""
    app, wrapper = project_app(), connections[using]
    if app is None:
        return
    try:
        url = database_url(wrapper.settings_dict)
    except SettingsError:
        return
    settings = settings_of(app)
    if settings.database_url != url:
        return
    if wrapper.vendor == "sqlite" and "memory" in url:
        # A test's own, which no connection but Django's can see.
        with borrowed(wrapper) as connection:
            schema.metadata.create_all(connection)
        return
    database = Database(url, schema=settings.table_schema)
    upgrade(database)
    database.dispose()
