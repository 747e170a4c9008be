"""Models of xAI's Grok."""

from __future__ import annotations

from inngest_celery.experimental.ai.base import ModelAdapter


class Adapter(ModelAdapter):
    """A model of xAI's Grok, or of whoever speaks its format at ``base_url``."""

    default_url = "https://api.x.ai/v1"
