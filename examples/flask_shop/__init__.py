"""A shop on Flask. See the README beside this file.

The factory and ``celery_init_app`` are as Flask's documentation has them; what is new is the client.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from celery import Celery, Task
from flask import Flask

import inngest_celery as inngest
from examples.flask_shop import fulfilment, views
from examples.flask_shop.models import db


def create_app(config: Mapping[str, object] | None = None) -> Flask:
    """Make the app, its Celery app (``extensions["celery"]``) and its client (``extensions["inngest"]``).

    Args:
        config: settings on top of the environment's; of a test, say.
    """
    app = Flask(__name__)
    database_url = os.environ.get("INNGEST_DATABASE_URL", "sqlite:////tmp/flask-shop.db")
    app.config.from_mapping(
        # One database for the shop's tables and ours: only so can an order and its event be one transaction.
        SQLALCHEMY_DATABASE_URI=database_url,
        CELERY={"inngest_database_url": database_url, "task_ignore_result": True},
    )
    app.config.from_mapping(config or {})
    db.init_app(app)
    celery = celery_init_app(app)
    client = app.extensions["inngest"] = inngest.Inngest(app_id="flask-shop", celery=celery)
    fulfilment.define(client)
    app.register_blueprint(views.orders)
    app.cli.command("create-tables")(db.create_all)
    return app


def celery_init_app(app: Flask) -> Celery:
    """Make a Celery app whose tasks run in Flask's application context: steps of functions are among them."""

    class FlaskTask(Task):  # type: ignore[misc]
        def __call__(self, *args: object, **kwargs: object) -> object:
            with app.app_context():
                return self.run(*args, **kwargs)

    celery = Celery(app.name, task_cls=FlaskTask)
    celery.config_from_object(app.config["CELERY"])
    celery.set_default()
    app.extensions["celery"] = celery
    return celery
