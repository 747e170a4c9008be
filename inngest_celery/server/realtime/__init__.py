"""``/v1/realtime``: what functions and apps publish while they work reaches whoever listens, over WebSocket or SSE."""

from inngest_celery.server.realtime.hub import Hub
from inngest_celery.server.realtime.onlookers import Onlookers
from inngest_celery.server.realtime.routes import router

__all__ = ["Hub", "Onlookers", "router"]
