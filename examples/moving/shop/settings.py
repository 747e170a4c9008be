"""Settings. They do not change on the way, but for the app that the first deploy installs."""

import os
from urllib.parse import urlsplit

DEPLOY = os.environ["SHOP_DEPLOY"]

SECRET_KEY = "only for an example"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "examples.moving.shop.urls"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["examples.moving.shop.orders"]
if DEPLOY != "before":
    INSTALLED_APPS.append("inngest_celery.django")

_database = urlsplit(os.environ["SHOP_DATABASE"])
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _database.path.removeprefix("/"),
        "USER": _database.username,
        "PASSWORD": _database.password,
        "HOST": _database.hostname,
        "PORT": _database.port or "",
    }
}

CELERY_BROKER_URL = CELERY_RESULT_BACKEND = os.environ["SHOP_BROKER"]
CELERY_IMPORTS = [f"examples.moving.shop.{DEPLOY}"]
