"""Serializers: how values that JSON does not know become JSON, and come back."""

from __future__ import annotations

import functools
from typing import Any, Protocol

from pydantic import TypeAdapter


class Serializer(Protocol):
    """Turns values into JSON-able data and back. A client uses it where an ``output_type`` is given.

    Mirrors https://www.inngest.com/docs/reference/python/guides/pydantic
    """

    def serialize(self, obj: object, typ: object) -> object:
        """Give JSON-able data for a value of a type."""
        ...

    def deserialize(self, obj: object, typ: object) -> object:
        """Give the value of a type for its JSON-able data."""
        ...


class PydanticSerializer(Serializer):
    """Serializes whatever pydantic knows: models, dataclasses, datetimes, and lists and unions of them.

    Example:
        >>> import datetime
        >>> PydanticSerializer().serialize([datetime.date(2026, 1, 2)], list[datetime.date])
        ['2026-01-02']
    """

    def __init__(self) -> None:
        # Bounded: types made in a loop must not pile up.
        self._adapter = functools.lru_cache(maxsize=512)(_adapter)

    def serialize(self, obj: object, typ: object) -> object:
        return self._adapter_for(typ).dump_python(obj, mode="json")

    def deserialize(self, obj: object, typ: object) -> object:
        return self._adapter_for(typ).validate_python(obj)

    def _adapter_for(self, typ: object) -> TypeAdapter[Any]:
        try:
            return self._adapter(typ)
        except TypeError:
            # Annotated[...] with a dict or list inside has no hash.
            return _adapter(typ)


def _adapter(typ: Any) -> TypeAdapter[Any]:
    return TypeAdapter(typ)
