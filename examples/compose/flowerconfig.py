"""How Flower shows tasks: with the addresses of their runs in the dashboard (``INNGEST_PUBLIC_URL``)."""

from inngest_celery.flower import format_task  # noqa: F401

tasks_columns = "name,state,kwargs,retries,received,runtime,worker"
natural_time = True
