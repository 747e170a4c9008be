"""The Celery app and the client. Broker, database and all settings come from the environment."""

from celery import Celery

import inngest_celery as inngest

# CELERY_BROKER_URL names the broker, INNGEST_DATABASE_URL the database, VENDORS the vendors' addresses, as JSON.
app = Celery("inventory", include=["examples.inventory.sync"])
client = inngest.Inngest(app_id="inventory", celery=app)
