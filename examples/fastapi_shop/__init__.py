"""A shop on FastAPI. See the README beside this file."""

from examples.fastapi_shop.jobs import app

__all__ = ["app"]
