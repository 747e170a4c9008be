"""An order from the request to the parcel, with a real worker."""

from __future__ import annotations

import argparse
import sys

from celery import Celery

from examples.flask_shop.models import db
from examples.stage import Stage, perform


def show(stage: Stage, _: argparse.Namespace) -> bool:
    """Place an order through Flask's test client, and give whether it came to its end."""
    from examples.flask_shop.make_celery import flask_app

    with flask_app.app_context():
        db.create_all()
    stage.start_worker()
    browser = flask_app.test_client()
    placed = browser.post("/orders/", json={"article": "a bicycle bell"}).get_json()
    stage.say(f"POST /orders/ -> {placed}")
    address = f"/orders/{placed['order']}"
    stage.until(lambda: "shop/parcel.collected" in browser.get(address).get_data(as_text=True), "the parcel")
    stage.say(f"GET {address} -> {browser.get(address).get_json()}")
    browser.post(f"{address}/collected")
    stage.say(f"POST {address}/collected")
    stage.until(lambda: browser.get(address).get_json()["status"] == "completed", "the end")
    stage.say(f"GET {address} -> {browser.get(address).get_json()}")
    return True


def celery_app() -> Celery:
    """Make the app, now that the environment says where everything is."""
    from examples.flask_shop.make_celery import celery_app

    return celery_app


if __name__ == "__main__":
    sys.exit(perform(celery_app, "examples.flask_shop.make_celery", show, environment={}))
