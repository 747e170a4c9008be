"""Types that many modules share."""

from __future__ import annotations

import enum
import logging
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypeVar, TypeVarTuple

from pydantic import InstanceOf
from typing_extensions import TypeAliasType

from inngest_celery.sdk.secret import Secret

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# Not recursive on purpose: a type checker could not assign dict[str, list[int]] to an invariant recursive alias.
JSON = TypeAliasType(
    "JSON", bool | int | float | str | Mapping[str, object] | Sequence[object] | InstanceOf[Secret[Any]] | None
)

Logger: TypeAlias = "logging.Logger | logging.LoggerAdapter[Any]"


class EmptySentinel:
    """Tells "not given" from None. Defaults use the class, values an instance."""


empty_sentinel = EmptySentinel()


class Streaming(enum.Enum):
    """Whether an answer to a server is streamed, to get around a platform's time limit for requests."""

    DISABLE = "disable"
    FORCE = "force"
