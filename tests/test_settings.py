"""Settings are found wherever a project keeps them."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery

from inngest_celery.django.urls_of_databases import database_url
from inngest_celery.settings import SettingsError, settings_of


class Project:
    CELERY_INNGEST_LEASE = 7
    CELERY_TIMEZONE = "UTC"
    INNGEST_HORIZON = 5


def namespaced(source: type) -> Celery:
    app = Celery(set_as_current=False)
    app.config_from_object(source, namespace="CELERY")
    return app


def test_under_a_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INNGEST_LEASE", "9")
    app = namespaced(Project)
    app.conf.inngest_slice = 0
    settings = settings_of(app)
    assert (settings.lease, settings.slice) == (7, 0)
    # Outside of the namespace it is not Celery's.
    assert settings.horizon == 60


def test_an_unknown_name_under_a_namespace_is_refused() -> None:
    with pytest.raises(SettingsError, match="inngest_leese is not a setting"):
        settings_of(namespaced(type("Typo", (), {"CELERY_INNGEST_LEESE": 7})))


POSTGRES = {"ENGINE": "django.db.backends.postgresql", "NAME": "shop"}


@pytest.mark.parametrize(
    ("database", "url"),
    [
        ({**POSTGRES, "USER": "ada", "PASSWORD": "a/b", "HOST": "db", "PORT": "5433"},
         "postgresql+psycopg://ada:a%2Fb@db:5433/shop"),
        ({**POSTGRES, "HOST": "/run/pg", "OPTIONS": {"sslmode": "require", "pool": True}},
         "postgresql+psycopg:///shop?host=%2Frun%2Fpg&sslmode=require"),
        ({"ENGINE": "django.db.backends.mysql", "NAME": "shop", "HOST": "/run/my.sock"},
         "mysql+pymysql://localhost/shop?charset=utf8mb4&unix_socket=%2Frun%2Fmy.sock"),
        ({"ENGINE": "django.db.backends.sqlite3", "NAME": "/srv/shop.db"}, "sqlite:////srv/shop.db"),
    ],
)  # fmt: skip
def test_the_url_of_a_database_of_djangos(database: dict[str, Any], url: str) -> None:
    assert database_url(database) == url


def test_a_database_that_runs_cannot_be_kept_in() -> None:
    with pytest.raises(SettingsError, match="CELERY_INNGEST_DATABASE_URL") as refused:
        database_url({"ENGINE": "django.db.backends.oracle"})
    assert refused.value.code == "database_unsupported"
