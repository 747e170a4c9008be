"""Shared types."""

from __future__ import annotations

from typing import TypeAlias, TypeGuard

from pydantic import BaseModel

from inngest_celery.sdk.types import JSON, EmptySentinel, Logger, T, empty_sentinel
from inngest_celery.sdk.types import Ts as TTuple

MaybeError: TypeAlias = T | Exception


def is_dict(value: object) -> TypeGuard[dict[object, object]]:
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)


__all__ = [
    "JSON",
    "BaseModel",
    "EmptySentinel",
    "Logger",
    "MaybeError",
    "T",
    "TTuple",
    "empty_sentinel",
    "is_dict",
    "is_list",
]
