"""What the settings say of a webhook: who sends it, how that is proved, and what event it becomes."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Webhook(BaseModel):
    """One webhook, served at ``/w/<its name>``.

    Attributes:
        provider: whose signatures are checked: ``github``, ``stripe``, or ``standard`` for Standard Webhooks. Without
            one, an event key is asked for as ``?key=``, where the server has event keys.
        secret: what the provider signs with.
        name: an expression over ``body``, ``headers`` (names in lower case) and ``query`` that gives the event's name.
            What has none, by null, false or an empty text, is taken and forgotten.
        transform: a Python function instead, as ``module.function``. It gets the body, the headers and the query, and
            gives an event as a dict with ``name``, ``data`` and what else an event may have, a list of these, or None.

    Example:
        >>> Webhook(provider="github", secret="s", name='"github/" + headers["x-github-event"]').provider
        'github'

    Mirrors https://www.inngest.com/docs/platform/webhooks
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: Literal["github", "stripe", "standard"] | None = None
    secret: str | None = Field(None, min_length=1)
    name: str | None = None
    transform: str | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Webhook:
        if self.provider is not None and self.secret is None:
            raise ValueError(f"{self.provider} signs its webhooks: give the secret")
        if self.name is not None and self.transform is not None:
            raise ValueError("give a name or a transform, not both: a transform gives the name, too")
        if self.name is not None:
            from inngest_celery.engine import expressions

            expressions.compile(self.name, names=frozenset({"body", "headers", "query"}))
        return self
