"""The Flask side: configuration, the table, and the application context in tasks. It does not change on the way."""

from __future__ import annotations

import os
from typing import Any

import sqlalchemy as sa
from celery import Celery, Task
from flask import Flask, current_app
from sqlalchemy.orm import Session

metadata = sa.MetaData()
lines = sa.Table(
    "etl_line",
    metadata,
    sa.Column("number", sa.String(64), primary_key=True),
    sa.Column("cents", sa.Integer, nullable=False),
)


def create_app() -> Flask:
    flask = Flask("etl")
    flask.config.from_mapping(
        DATABASE=os.environ["INNGEST_DATABASE_URL"],
        CELERY={
            "broker_url": os.environ["BROKER_URL"],
            "result_backend": os.environ["RESULT_BACKEND"],
            "inngest_database_url": os.environ["INNGEST_DATABASE_URL"],
            "beat_schedule": {"nightly": {"task": "etl.import", "schedule": 86_400, "args": ["bank"]}},
        },
    )
    flask.extensions["engine"] = sa.create_engine(flask.config["DATABASE"])
    return flask


def create_celery(flask: Flask) -> Celery:
    """Make Celery's app as Flask's documentation says: tasks run in the application's context."""

    class FlaskTask(Task):  # type: ignore[misc]
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            with flask.app_context():
                return self.run(*args, **kwargs)

    celery = Celery(flask.name, task_cls=FlaskTask, set_as_current=False)
    celery.config_from_object(flask.config["CELERY"])
    flask.extensions["celery"] = celery
    return celery


def new_session() -> Session:
    """Give a session of the application whose context this is."""
    return Session(current_app.extensions["engine"])


def load(session: Session, page: list[dict[str, Any]]) -> int:
    """Store lines; those that are there already are no error, since a page may come again."""
    known = set(session.scalars(sa.select(lines.c.number).where(lines.c.number.in_([line["number"] for line in page]))))
    fresh = [line for line in page if line["number"] not in known]
    if fresh:
        session.execute(sa.insert(lines), fresh)
    return len(fresh)
