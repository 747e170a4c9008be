"""A shop that has run on Celery for years, and moves one job at a time.

``tasks.py`` is as it was, a chain with a task three days ahead included. ``fulfilment.py`` is the same job as a durable
function, on the same tasks. ``orders.py`` places an order: its row and the event that starts the job are one
transaction.

Set it up, as any Celery project plus one migration::

    export CELERY_BROKER_URL=redis://localhost:6379/0 INNGEST_DATABASE_URL=sqlite:///shop.db
    celery -A examples.existing_project inngest migrate
    celery -A examples.existing_project worker

Then place an order, in another terminal with the same variables::

    python -m examples.existing_project.orders
"""

from examples.existing_project.app import app

__all__ = ["app"]
