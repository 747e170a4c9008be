"""Django's settings, of which a process has only one set: made by whichever test comes first."""

from __future__ import annotations

import django
from django.conf import settings

urlpatterns: list[object] = []


def configure() -> None:
    """Let Django be used in this process, with the URLs that ``urlpatterns`` holds."""
    if settings.configured:
        return
    settings.configure(
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["*"],
        SECRET_KEY="of tests",
        DEBUG=False,
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    )
    django.setup()
