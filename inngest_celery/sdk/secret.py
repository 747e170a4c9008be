"""Values that never show: sealed wherever they are stored, and ``[secret]`` to whoever looks, whatever the role."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Generic, NoReturn, Self, TypeVar, get_args

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema, to_jsonable_python

from inngest_celery.masking import sealed
from inngest_celery.masking.sealed import MARKER, SealedError, is_sealed
from inngest_celery.sdk.errors import SecretError

T = TypeVar("T")

_STARS = "**********"


class Secret(Generic[T]):
    """A value that is shown to nobody: in an event's data, in what a step or a function gives, in a model's field.

    Where it is stored it is sealed with ``inngest_secret_key``, and it comes back as a secret: on replay, in the
    functions that an event triggers or that are invoked. Apps on other SDKs get the sealed form
    (``{"__inngest_secret__": …}``), and may pass it on.

    Args:
        value: what JSON can hold, or pydantic can turn into that.

    Example:
        >>> token = Secret("sk-1234")
        >>> print(token, repr(token), token.get_secret_value())
        ********** Secret('**********') sk-1234
    """

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def get_secret_value(self) -> T:
        """Give the value itself."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({_STARS!r})"

    def __str__(self) -> str:
        return _STARS

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and bool(self._value == other._value)

    def __hash__(self) -> int:
        return hash(self._value)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled: that would show it in a message. Send it in an event, or give its id")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        inner = handler.generate_schema(get_args(source)[0]) if get_args(source) else core_schema.any_schema()

        def read(value: Any, validate: Callable[[Any], Any]) -> Secret[Any]:
            if isinstance(value, Secret):
                value = value.get_secret_value()
            elif is_sealed(value):
                value = _open(value)
            return cls(validate(value))

        serialization = core_schema.plain_serializer_function_ser_schema(seal, when_used="json")
        return core_schema.no_info_wrap_validator_function(read, inner, serialization=serialization)


def seal(secret: Secret[Any]) -> dict[str, str]:
    """Give the sealed form of a secret.

    Raises:
        SecretError: there is no key (``secret_key_missing``).
    """
    try:
        return sealed.keys.get()().seal(to_jsonable_python(secret.get_secret_value()))
    except SealedError as error:
        raise SecretError(str(error), error.code) from error


def _open(value: dict[str, Any]) -> Any:
    try:
        return sealed.keys.get()().open(value)
    except SealedError as error:
        raise SecretError(str(error), error.code) from error


def read_json(text: str) -> Any:
    """Parse JSON, with secrets where sealed ones are.

    Raises:
        SecretError: one cannot be opened (``secret_unreadable``).
    """
    read = json.loads(text)
    return sealed.replaced(read, lambda each: Secret(_open(each))) if MARKER in text else read
