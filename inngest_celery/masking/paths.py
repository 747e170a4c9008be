"""Paths into a payload, written as in expressions: ``event.data.card.number``, ``data.items[*].iban``, ``output.*``."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from inngest_celery.masking.sealed import is_sealed

Place = Literal["data", "user", "output", "error", "prompt"]


class Every(enum.Enum):
    """Every key of an object, or every item of a list."""

    ONE = "*"


Step = str | int | Every

_STEP = re.compile(r"""\.(?P<any>\*)|\.(?P<name>[^\s.\[\]"'*]+)|\[(?P<all>\*|\d{1,6})\]|\["(?P<quoted>[^"\\]+)"\]""")
_PLACES = "event.data, event.user, data, output, error or prompt"


@dataclass(frozen=True, slots=True)
class Path:
    """Where something stands.

    Attributes:
        place: in an event's data, its user, in what a step or function gave, in an error, or in what a model was asked.
        steps: the way from there.
    """

    place: Place
    steps: tuple[Step, ...]


def parse(text: str) -> Path:
    """Read a path.

    Raises:
        ValueError: it is none; the message says where, and what a path looks like.

    Example:
        >>> parse("event.data.card.number")
        Path(place='data', steps=('card', 'number'))
        >>> parse("data.items[*].iban").steps[:2]
        ('items', <Every.ONE: '*'>)
    """
    root = re.match(r"event|data|output|error|prompt", text)
    if root is None:
        raise ValueError(f"the path {text!r} begins with none of {_PLACES}")
    steps, at = [], root.end()
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None:
            raise ValueError(
                f"the path {text!r} is not understood from {text[at : at + 20]!r} on; "
                'write data.card.number, data.items[*].iban, output.*, data["with space"]'
            )
        steps.append(_read(found))
        at = found.end()
    place = root[0]
    if place == "event":
        if not steps or steps[0] not in ("data", "user"):
            raise ValueError(f"the path {text!r} leads to no payload; write event.data.… or event.user.…")
        place = str(steps.pop(0))
    if place in ("data", "user") and not steps:
        raise ValueError(f"an event's {place} has to stay an object; write {text}.* for all that is in it")
    return Path(place, tuple(steps))  # type: ignore[arg-type]


def _read(found: re.Match[str]) -> Step:
    if found["any"] or found["all"] == "*":
        return Every.ONE
    if found["all"]:
        return int(found["all"])
    return found["name"] or found["quoted"]


def change_at(value: Any, steps: tuple[Step, ...], change: Callable[[Any], Any]) -> Any:
    """Change in place what stands at the end of a path, wherever there is something; give the whole value."""
    box = [value]
    slots: list[tuple[Any, Any]] = [(box, 0)]
    for step in steps:
        slots = [slot for container, key in slots for slot in _below(container[key], step)]
    for container, key in slots:
        if not is_sealed(container[key]):
            container[key] = change(container[key])
    return box[0]


def _below(value: Any, step: Step) -> list[tuple[Any, Any]]:
    if isinstance(value, dict) and not is_sealed(value):
        if step is Every.ONE:
            return [(value, key) for key in value]
        return [(value, step)] if step in value else []
    if isinstance(value, list):
        if step is Every.ONE:
            return [(value, index) for index in range(len(value))]
        return [(value, step)] if isinstance(step, int) and step < len(value) else []
    return []
