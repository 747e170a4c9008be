"""An order from the request to the parcel, with a real worker."""

from __future__ import annotations

import argparse
import sys

from fastapi.testclient import TestClient

from examples.fastapi_shop.jobs import app
from examples.fastapi_shop.web import web
from examples.stage import Stage, perform


def show(stage: Stage, _: argparse.Namespace) -> bool:
    """Place an order through FastAPI's test client, and give whether it came to its end."""
    stage.start_worker()
    with TestClient(web) as browser:
        placed = browser.post("/orders", json={"article": "a bicycle bell"}).json()
        stage.say(f"POST /orders -> {placed}")
        address = f"/orders/{placed['order']}"
        stage.until(lambda: "shop/parcel.collected" in browser.get(address).text, "the parcel")
        stage.say(f"GET {address} -> {browser.get(address).json()}")
        browser.post(f"{address}/collected")
        stage.say(f"POST {address}/collected")
        stage.until(lambda: browser.get(address).json()["status"] == "completed", "the end")
        stage.say(f"GET {address} -> {browser.get(address).json()}")
    return True


if __name__ == "__main__":
    sys.exit(perform(lambda: app, "examples.fastapi_shop", show, environment={}))
