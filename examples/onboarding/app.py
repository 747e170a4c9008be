"""The Celery app and the client. Broker, database and all settings come from the environment."""

from celery import Celery

import inngest_celery as inngest

# CELERY_BROKER_URL names the broker, INNGEST_DATABASE_URL the database, SMTP_URL the mail server.
app = Celery("onboarding", include=["examples.onboarding.signup"])
client = inngest.Inngest(app_id="onboarding", celery=app)
