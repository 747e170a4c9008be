"""A shop on Django whose orders are carried on by durable functions."""

from shop.celery import app as celery_app

__all__ = ("celery_app",)
