"""The Flask shop: its routes by Flask's test client, without a worker and with one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask

from examples.flask_shop import create_app, views
from examples.flask_shop.models import Order, db
from inngest_celery.testing import Inline
from tests.examples.demos import play


@pytest.fixture
def flask_app(tmp_path: Path) -> Flask:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    app = create_app({"TESTING": True, "SQLALCHEMY_DATABASE_URI": url, "CELERY": {"broker_url": "memory://"}})
    with app.app_context():
        db.create_all()
    return app


@pytest.fixture
def inline(flask_app: Flask) -> Iterator[Inline]:
    # The context is the worker's part, where Flask's task class makes it.
    with flask_app.app_context():
        inline = Inline(flask_app.extensions["celery"], database_url=flask_app.config["SQLALCHEMY_DATABASE_URI"])
        yield inline
        inline.close()


def test_an_order_is_packed_and_collected(flask_app: Flask, inline: Inline) -> None:
    browser = flask_app.test_client()
    assert browser.post("/orders/", json={"article": "a bell"}).get_json() == {"order": 1}
    assert browser.get("/orders/1").get_json() == {"article": "a bell", "parcel": ""}
    inline.drain()
    assert browser.get("/orders/1").get_json()["status"] == "running"
    browser.post("/orders/1/collected")
    inline.drain()
    told = browser.get("/orders/1").get_json()
    assert (told["status"], told["output"], told["parcel"]) == (
        "completed",
        "flask_shop-1 is on its way",
        "flask_shop-1",
    )


def test_a_parcel_that_nobody_collects_is_told_of_after_a_week(flask_app: Flask, inline: Inline) -> None:
    browser = flask_app.test_client()
    browser.post("/orders/", json={"article": "a bell"})
    inline.advance(timedelta(days=8))
    assert browser.get("/orders/1").get_json()["output"] == "flask_shop-1 lies about"


def test_an_order_that_is_not_stored_starts_nothing(
    flask_app: Flask, inline: Inline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(views.db.session, "commit", fail)
    with pytest.raises(ZeroDivisionError):
        flask_app.test_client().post("/orders/", json={"article": "a bell"})
    db.session.rollback()
    inline.drain()
    assert inline.runs.list() == []
    assert db.session.query(Order).count() == 0


@pytest.mark.timeout(180)
def test_with_a_worker_steps_run_in_the_context_of_the_app() -> None:
    assert "'output': 'flask_shop-1 is on its way'" in play("examples.flask_shop")
