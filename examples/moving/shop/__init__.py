"""A Django shop on its way from a chain to a durable function, deploy by deploy.

``SHOP_DEPLOY`` says which deploy is running: ``before``, ``step_1`` or ``step_2``. Web processes and workers
of one deploy have the same code.
"""

from examples.moving.shop.celery import app

__all__ = ["app"]
