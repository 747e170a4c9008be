"""The Celery app of a server that was given none: it has no functions of its own, and calls those of others.

Its broker is that of ``CELERY_BROKER_URL``, its settings are those of ``INNGEST_…`` in the environment. More workers
for it: ``celery -A inngest_celery.server.worker_app worker``.
"""

from __future__ import annotations

import logging

import httpx  # noqa: F401  loaded before the first call, which is not to wait for it
from celery import Celery

from inngest_celery.worker.registry import equip

app = Celery("inngest", set_as_current=False)
# A broker that others use, too, has a queue "celery" already.
app.conf.update(task_default_queue="inngest", worker_hijack_root_logger=False)
equip(app)
# Every call of an app would be a line.
logging.getLogger("httpx").setLevel(logging.WARNING)
