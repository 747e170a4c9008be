"""The parts that an expression is made of, once parsed. Values are plain JSON values.

``at`` is the part's place in the source (an offset), for messages; it takes no part in equality.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Literal:
    """A value known when the expression is written (or folded). ``MISSING`` is one, too."""

    value: object


@dataclass(frozen=True, slots=True)
class Name:
    """A variable: ``event``, ``async``, or the one that a macro binds."""

    name: str
    at: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Index:
    """``target.key`` and ``target[key]``, which read the same."""

    target: Node
    key: Node


@dataclass(frozen=True, slots=True)
class Has:
    """``has(target.key)``: whether the field is there, be it null."""

    target: Node
    key: str
    at: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Unary:
    """``!operand`` or ``-operand``."""

    operator: str
    operand: Node
    at: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Binary:
    """Two operands and one of ``== != < <= > >= in + - * / %``."""

    operator: str
    left: Node
    right: Node
    at: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class All:
    """``a && b && …``: a bool."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Any:
    """``a || b || …``: the first value that counts as true, or the last one."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Conditional:
    """``condition ? then : otherwise``."""

    condition: Node
    then: Node
    otherwise: Node


@dataclass(frozen=True, slots=True)
class ListOf:
    """``[a, b, …]``."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class MapOf:
    """``{"key": a, …}``."""

    keys: tuple[str, ...]
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """``name(arguments)``, or with ``method``: ``arguments[0].name(arguments[1:])``."""

    name: str
    arguments: tuple[Node, ...]
    method: bool
    at: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Macro:
    """``target.exists(variable, body)`` and its like; ``map`` may have a filter as first of two bodies."""

    name: str
    target: Node
    variable: str
    bodies: tuple[Node, ...]
    at: int | None = field(default=None, compare=False)


Node: TypeAlias = (
    Literal | Name | Index | Has | Unary | Binary | All | Any | Conditional | ListOf | MapOf | Call | Macro
)


_BELOW: dict[type, tuple[str, ...]] = {
    Literal: (),
    Name: (),
    Index: ("target", "key"),
    Has: ("target",),
    Unary: ("operand",),
    Binary: ("left", "right"),
    All: ("items",),
    Any: ("items",),
    Conditional: ("condition", "then", "otherwise"),
    ListOf: ("items",),
    MapOf: ("items",),
    Call: ("arguments",),
    Macro: ("target", "bodies"),
}


def children(node: Node) -> tuple[Node, ...]:
    """Give the nodes right below this one, in the order of the source."""
    found: tuple[Node, ...] = ()
    for name in _BELOW[type(node)]:
        part = getattr(node, name)
        found += part if isinstance(part, tuple) else (part,)
    return found


def with_children(node: Node, parts: tuple[Node, ...]) -> Node:
    """Give the same node over other children, in the order in which :func:`children` gives them."""
    rest = iter(parts)
    below: dict[str, typing.Any] = {}
    for name in _BELOW[type(node)]:
        old = getattr(node, name)
        below[name] = tuple(islice(rest, len(old))) if isinstance(old, tuple) else next(rest)
    return replace(node, **below) if below else node


def walk(node: Node) -> Iterator[Node]:
    """Give the node and everything below it."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(children(node))


def depth(node: Node) -> int:
    """Count the levels, without recursion, so that it is safe on any tree."""
    level, count = [node], 0
    while level:
        count += 1
        level = [child for parent in level for child in children(parent)]
    return count
