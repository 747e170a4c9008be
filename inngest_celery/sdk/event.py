"""Events, and what sending them gives."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ConfigDict, Field, ValidationError, field_validator

from inngest_celery.sdk.errors import ErrorCode, EventInvalidError
from inngest_celery.sdk.model import Model
from inngest_celery.sdk.types import JSON


class _Event(Model):
    """Refuses fields of the wrong type with an error that names the field."""

    def __init__(self, **fields: object) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            problem = error.errors()[0]
            field = str(problem["loc"][0])
            code = ErrorCode.EVENT_NAME_INVALID if field == "name" else ErrorCode.EVENT_INVALID
            raise EventInvalidError(problem["msg"], index=None, field=field, code=code) from None


class Event(_Event):
    """Something that happened. It starts the functions that it triggers and resumes the steps that wait for it.

    Args:
        name: what happened, such as ``shop/order.placed``.
        data: the facts, as JSON.
        id: an idempotency key: for 24 hours a second event with it starts no run.
        ts: when it happened, in milliseconds since 1970; now, if left out.

    Raises:
        EventInvalidError: the name is missing, or a field has the wrong type.

    Example:
        >>> Event(name="shop/order.placed", data={"order": 7}).to_dict()
        {'data': {'order': 7}, 'id': '', 'name': 'shop/order.placed', 'ts': 0}

    Mirrors https://www.inngest.com/docs/events
    """

    model_config = ConfigDict(strict=True)

    data: Mapping[str, JSON] = {}
    id: str = ""
    name: str
    ts: int = 0

    @field_validator("data", mode="before")
    @classmethod
    def _null_is_empty(cls, value: object) -> object:
        return {} if value is None else value


class SendEventsResult(Model):
    """What became of events that were sent.

    Attributes:
        error: why some, or all, were refused.
        ids: the ids of those that were accepted, in the order of the events.
    """

    error: str | None = None
    ids: list[str] = Field(default_factory=list)
