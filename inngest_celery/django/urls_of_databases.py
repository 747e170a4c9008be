"""From an entry of Django's ``DATABASES`` to the URL that SQLAlchemy knows the same database by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import URL

from inngest_celery.settings import SettingsError

_DRIVERS = {
    "django.db.backends.postgresql": "postgresql+psycopg",
    "django.contrib.gis.db.backends.postgis": "postgresql+psycopg",
    "django.db.backends.mysql": "mysql+pymysql",
    "django.contrib.gis.db.backends.mysql": "mysql+pymysql",
    "django.db.backends.sqlite3": "sqlite",
    "django.contrib.gis.db.backends.spatialite": "sqlite",
}
# Those options of psycopg that say where the server is, and how it is trusted.
_POSTGRES = ("service", "passfile", "sslmode", "sslcert", "sslkey", "sslrootcert", "options", "connect_timeout")


def database_url(database: Mapping[str, Any]) -> str:
    """Give the SQLAlchemy URL of a database in Django's settings.

    Args:
        database: an entry of ``DATABASES``.

    Raises:
        SettingsError: its engine is none that inngest_celery knows (code ``database_unsupported``).

    Example:
        >>> database_url({"ENGINE": "django.db.backends.postgresql", "NAME": "shop", "USER": "ada", "HOST": "db"})
        'postgresql+psycopg://ada@db/shop'
    """
    engine = str(database.get("ENGINE", ""))
    if engine not in _DRIVERS:
        known = ", ".join(sorted(_DRIVERS))
        raise SettingsError(
            f"DATABASES names the engine {engine!r}, which runs cannot be kept in; known are {known}. For an engine "
            "that wraps one of them set CELERY_INNGEST_DATABASE_URL to the database's SQLAlchemy URL.",
            code="database_unsupported",
        )
    driver, name = _DRIVERS[engine], str(database.get("NAME") or "")
    if driver == "sqlite":
        return str(URL.create(driver, database=name))
    host, port = str(database.get("HOST") or ""), database.get("PORT")
    options: Mapping[str, Any] = database.get("OPTIONS") or {}
    query: dict[str, str] = {}
    if driver == "mysql+pymysql":
        host, query = (host, query) if not host.startswith("/") else ("localhost", {"unix_socket": host})
        query |= {"charset": str(options.get("charset", "utf8mb4"))}
        query |= {f"ssl_{key}": str(value) for key, value in (options.get("ssl") or {}).items()}
    else:
        if host.startswith("/"):
            host, query = "", {"host": host}
        query |= {key: str(options[key]) for key in _POSTGRES if key in options}
    url = URL.create(
        driver,
        username=database.get("USER") or None,
        password=database.get("PASSWORD") or None,
        host=host or None,
        port=int(port) if port else None,
        database=name or None,
        query=query,
    )
    return url.render_as_string(hide_password=False)
