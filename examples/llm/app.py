"""The Celery app and the client. Broker, database and all settings come from the environment."""

from celery import Celery

import inngest_celery as inngest

# CELERY_BROKER_URL names the broker, INNGEST_DATABASE_URL the database, OPENAI_BASE_URL and OPENAI_API_KEY the model.
app = Celery("llm", include=["examples.llm.articles"])
client = inngest.Inngest(app_id="editor", celery=app)
