"""The fleet's configuration: shrinking takes machines of its own. It does not change on the way, but for one line."""

import os

broker_url = os.environ["BROKER_URL"]
result_backend = os.environ["RESULT_BACKEND"]
task_routes = {"fleet.shrink": {"queue": "cpu"}, "fleet.*": {"queue": "io"}}
task_default_queue = "io"
# The one line: where the tables are, which `celery -A … inngest migrate` makes.
inngest_database_url = os.environ.get("INNGEST_DATABASE_URL")
