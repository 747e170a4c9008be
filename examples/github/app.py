"""The Celery app and the client. Broker, database and all settings come from the environment."""

from celery import Celery

import inngest_celery as inngest

# CELERY_BROKER_URL names the broker, INNGEST_DATABASE_URL the database.
app = Celery(
    "github",
    include=[
        "examples.github.checks",
        "examples.github.community",
        "examples.github.housekeeping",
        "examples.github.pulls",
        "examples.github.releases",
    ],
)
client = inngest.Inngest(app_id="github", celery=app)
