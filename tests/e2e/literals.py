"""A serializer that writes bytes, of values that JSON does not have."""

from __future__ import annotations

import ast
import zlib

from kombu.serialization import register

NAME = "literal"


def install() -> None:
    """Make it known to kombu in this process."""
    register(NAME, _write, _read, content_type="application/x-literal", content_encoding="binary")  # type: ignore[no-untyped-call]


def _write(value: object) -> bytes:
    return zlib.compress(repr(value).encode())


def _read(data: bytes) -> object:
    value: object = ast.literal_eval(zlib.decompress(data).decode())
    return value
