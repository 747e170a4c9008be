"""What the data models have in common."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel

from inngest_celery.sdk.errors import EventInvalidError, FunctionConfigInvalidError


class Model(BaseModel):
    """A pydantic model that reads and gives plain dicts."""

    @classmethod
    def from_raw(cls, raw: object) -> Self | Exception:
        """Make one from parsed JSON; gives the error, and does not raise it, when the JSON does not fit."""
        try:
            return cls.model_validate(raw)
        except (ValueError, EventInvalidError, FunctionConfigInvalidError) as error:
            return error

    def to_dict(self) -> dict[str, object]:
        """Give the fields as JSON can hold them, under their names on the wire."""
        return self.model_dump(mode="json", by_alias=True)
