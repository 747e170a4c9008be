"""Rules as the settings have them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from inngest_celery.masking import paths, patterns
from inngest_celery.masking.marks import How

Revealed = Literal["operator", "admin"]


class Rule(BaseModel):
    """What is masked, where, and who sees it all the same.

    Attributes:
        event: only events of this name or glob (``billing/*``), and runs that they start; all, if left out.
        function: only runs of the function with this full id or glob (``shop-*``); all, if left out.
        path: what stands there: ``event.data.card.number``, ``data.items[*].iban``, ``output.token``,
            ``error.message``, ``prompt.messages``.
        pattern: what looks so, in all of a payload or below ``path``: ``card_number``, ``email``, ``iban``, ``phone``,
            ``token``, or ``regex:…``.
        at: ``show``: it is stored, functions get it, and it is masked for whoever looks. ``store``: it is masked
            before anything is stored, and nobody ever sees it again, functions neither.
        as_: ``redact``, ``last4`` or ``hash``; in settings ``as``.
        reveal: the roles that see it, ``operator`` or ``admin``; who may do more sees it, too.

    Example:
        >>> Rule(path="event.data.card.number", **{"as": "last4"}).at
        'show'
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    event: str | None = Field(None, min_length=1)
    function: str | None = Field(None, min_length=1)
    path: str | None = None
    pattern: str | None = None
    at: Literal["show", "store"] = "show"
    as_: How = Field("redact", alias="as")
    reveal: tuple[Revealed, ...] = ()

    @field_validator("reveal", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _means_something(self) -> Rule:
        if self.path is None and self.pattern is None:
            raise ValueError("a rule says what is masked: give it a path, a pattern, or both")
        path = None if self.path is None else paths.parse(self.path)
        if self.pattern is not None:
            patterns.finder(self.pattern)
        if self.at == "store" and self.reveal:
            raise ValueError('what is masked before it is stored cannot be revealed: leave out reveal, or at="store"')
        if self.at == "store" and self.function and path is not None and path.place in ("data", "user"):
            raise ValueError(
                "an event is stored before it is known which functions take it: name the event instead of the function"
            )
        return self
