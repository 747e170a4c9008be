"""The Celery app as it was, and the one new line."""

from celery import Celery

import inngest_celery as inngest

app = Celery("shop", include=["examples.existing_project.tasks", "examples.existing_project.fulfilment"])

client = inngest.Inngest(app_id="shop", celery=app)
