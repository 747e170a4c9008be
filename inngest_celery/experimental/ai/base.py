"""What ``step.ai.infer`` needs to know of a model's provider."""

from __future__ import annotations

from typing import Any, Protocol


class BaseAdapter(Protocol):
    """A model of a provider: where it is, and how to talk to it."""

    def auth_key(self) -> str:
        """Give the provider's key."""
        ...

    def format(self) -> str:
        """Give the name of the request's format: ``openai-chat``, ``anthropic`` or ``gemini``."""
        ...

    def headers(self) -> dict[str, str]:
        """Give further headers of the request."""
        ...

    def on_call(self, body: dict[str, Any]) -> None:
        """Complete the request's body."""
        ...

    def url_infer(self) -> str:
        """Give the address that the request goes to."""
        ...


class ModelAdapter:
    """What the adapters have in common. Each provider sets the three class attributes.

    Args:
        auth_key: the provider's key.
        base_url: the address to use instead of the provider's.
        headers: further headers.
        model: the model's name; a ``model`` in the request's body goes before it.
    """

    api_format = "openai-chat"
    default_url = ""
    path = "chat/completions"

    def __init__(
        self, *, auth_key: str, base_url: str | None = None, headers: dict[str, str] | None = None, model: str
    ) -> None:
        self._auth_key = auth_key
        self._base_url = (base_url or self.default_url).rstrip("/")
        self._headers = headers or {}
        self._model = model

    def auth_key(self) -> str:
        return self._auth_key

    def format(self) -> str:
        return self.api_format

    def headers(self) -> dict[str, str]:
        return self._headers

    def on_call(self, body: dict[str, Any]) -> None:
        body["model"] = body.get("model") or self._model

    def url_infer(self) -> str:
        return f"{self._base_url}/{self.path}"
