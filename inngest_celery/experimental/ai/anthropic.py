"""Models of Anthropic."""

from __future__ import annotations

from inngest_celery.experimental.ai.base import ModelAdapter


class Adapter(ModelAdapter):
    """A model of Anthropic. Headers of your own replace the API version that is sent otherwise."""

    api_format = "anthropic"
    default_url = "https://api.anthropic.com/v1"
    path = "messages"

    def headers(self) -> dict[str, str]:
        return super().headers() or {"anthropic-version": "2023-06-01"}
