"""Models of Google Gemini."""

from __future__ import annotations

from inngest_celery.experimental.ai.base import ModelAdapter


class Adapter(ModelAdapter):
    """A model of Google Gemini, which takes its key in the address."""

    api_format = "gemini"
    default_url = "https://generativelanguage.googleapis.com/v1beta"

    def url_infer(self) -> str:
        return f"{self._base_url}/models/{self._model}:generateContent?key={self._auth_key}"
