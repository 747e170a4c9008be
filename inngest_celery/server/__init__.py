"""The HTTP side: apps on the official SDKs register here, send events here, and are called by Celery workers.

:func:`~inngest_celery.server.application.create_app` makes the ASGI application. What it needs is installed with
``pip install 'inngest-celery[server]'``.
"""
