"""inngest_celery in a Django project: add ``"inngest_celery.django"`` to ``INSTALLED_APPS``.

Settings are ``CELERY_INNGEST_…``. Where none names a database, runs are in ``DATABASES["default"]``, and ``manage.py
migrate`` makes their tables too. ``manage.py inngest …`` is the command line.
"""

from inngest_celery.django.steps import atomic_step
from inngest_celery.django.transactions import send
from inngest_celery.django.urls_of_databases import database_url

__all__ = ["atomic_step", "database_url", "send"]
