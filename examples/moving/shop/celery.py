"""The Celery app, as Celery's guide for Django makes it."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "examples.moving.shop.settings")

app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
