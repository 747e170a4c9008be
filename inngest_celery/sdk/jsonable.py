"""JSON for what users return and send, with errors that say where the trouble is."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

from inngest_celery.sdk.errors import OutputUnserializableError
from inngest_celery.sdk.secret import Secret, seal


def encode(value: object) -> str:
    """Write a value as compact JSON.

    Raises:
        TypeError, ValueError: JSON cannot hold it; :func:`find_problem` tells why.
    """
    return json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False, default=_sealed)


def _sealed(value: object) -> object:
    """Give what stands for a secret; asked only for what JSON does not know."""
    if isinstance(value, Secret):
        return seal(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def find_problem(value: object) -> str | None:
    """Say what keeps JSON from holding a value, and where it is; None if nothing does.

    Example:
        >>> find_problem({"when": [1, {2, 3}]})
        'a set at $.when[1]'
        >>> find_problem({"ok": (1, None)}) is None
        True
    """
    try:
        encode(value).encode()
    except (TypeError, ValueError):
        return next(_problems(value, "$", ()), "a value that JSON cannot hold")
    except RecursionError:
        return "too many levels"
    return None


def encode_output(value: object, step_id: str | None = None) -> str:
    """Write what a step or a function returned as JSON.

    Args:
        value: what was returned, after serializer and middleware.
        step_id: the step's id as the user wrote it; None for a function's output.

    Raises:
        OutputUnserializableError: JSON cannot hold the value.

    Example:
        >>> encode_output((1, None))
        '[1,null]'
    """
    problem = find_problem(value)
    if problem is None:
        return encode(value)
    subject = f'"{step_id}" ' if step_id is not None else ""
    raise OutputUnserializableError(
        f"{subject}returned unserializable data: {problem}. Return what JSON can hold (str, numbers, bool, None, "
        "lists, dicts), or set output_type and give the client a serializer such as PydanticSerializer()."
    )


def _problems(value: object, path: str, parents: tuple[int, ...]) -> Iterator[str]:
    if id(value) in parents:
        yield f"a reference to itself at {path}"
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str | int | float | bool | type(None)):
                yield f"a key of type {type(key).__name__} at {path}"
            yield from _problems(item, f"{path}.{key}", (*parents, id(value)))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _problems(item, f"{path}[{index}]", (*parents, id(value)))
    elif isinstance(value, Secret):
        yield from _problems(value.get_secret_value(), path, (*parents, id(value)))
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"the number {value} at {path}"
    elif isinstance(value, str):
        if any("\ud800" <= character <= "\udfff" for character in value):
            yield f"half of a surrogate pair at {path}"
    elif not isinstance(value, int | float | type(None)):
        article = "an" if type(value).__name__[:1].lower() in "aeiou" else "a"
        yield f"{article} {type(value).__name__} at {path}"
