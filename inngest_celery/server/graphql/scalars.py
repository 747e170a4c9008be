"""The scalars of the interface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NewType

import strawberry

Time = NewType("Time", str)
ULID = NewType("ULID", str)
UUID = NewType("UUID", str)
Bytes = NewType("Bytes", str)
Uint = NewType("Uint", int)
Int64 = NewType("Int64", int)
Map = NewType("Map", dict)  # type: ignore[type-arg]
Unknown = NewType("Unknown", object)
HTTPHeaders = NewType("HTTPHeaders", dict)  # type: ignore[type-arg]
SpanMetadataKind = NewType("SpanMetadataKind", str)
SpanMetadataScope = NewType("SpanMetadataScope", str)
SpanMetadataValues = NewType("SpanMetadataValues", dict)  # type: ignore[type-arg]

_ALL: tuple[Any, ...] = (
    *(Time, ULID, UUID, Bytes, Uint, Int64, Map, Unknown, HTTPHeaders),
    *(SpanMetadataKind, SpanMetadataScope, SpanMetadataValues),
)
SCALARS: Mapping[object, Any] = {each: strawberry.scalar(name=each.__name__) for each in _ALL}
