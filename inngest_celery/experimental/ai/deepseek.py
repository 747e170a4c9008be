"""Models of DeepSeek."""

from __future__ import annotations

from inngest_celery.experimental.ai.base import ModelAdapter


class Adapter(ModelAdapter):
    """A model of DeepSeek, or of whoever speaks its format at ``base_url``."""

    default_url = "https://api.deepseek.com/v1"
