"""A repository's bot on real GitHub webhooks.

Watch it work on a stack of its own, and lose a worker on the way::

    python -m examples.github.demo

Or run it as any Celery app, on the broker and database that you have::

    export CELERY_BROKER_URL=redis://localhost:6379/0 INNGEST_DATABASE_URL=sqlite:///github.db
    celery -A examples.github worker
"""

from examples.github.app import app

__all__ = ["app"]
