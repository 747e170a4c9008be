"""The one equality by which a wait is found in SQL, before its whole expression is evaluated.

An expression such as ``async.data.email == "a@b.c" && async.data.total > 10`` can only be true when the first equality
is. So the wait is stored with that path and a short hash of path and value, and an event looks for the hash of what it
has at that path: one indexed query, whatever the number of waits.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from inngest_celery.engine.expressions import nodes
from inngest_celery.engine.expressions.nodes import Node
from inngest_celery.engine.expressions.unparse import field
from inngest_celery.engine.expressions.values import item
from inngest_celery.equality import written

MAX_PATH = 255
"""Characters of a path; an equality on a longer one is not used as an anchor."""

_PART = re.compile(r"\.?([_a-zA-Z][_a-zA-Z0-9]*)|\[(\d+)\]|\[(\"(?:[^\"\\]|\\.)*\")\]")
_PREFERENCE = (str, float, int, bool)


@dataclass(frozen=True, slots=True)
class Anchor:
    """An equality that must hold for the expression to be true.

    Attributes:
        path: what is compared, below ``async``: ``data.email``, ``data["a b"].c[0]``. At most 255 characters.
        key: a hash of path and value, 32 characters of hexadecimal.
    """

    path: str
    key: str


def find_anchor(node: Node) -> Anchor | None:
    """Find the most telling equality ``async.<path> == <text, number or bool>`` that the node needs to be true."""
    found: list[tuple[int, Anchor]] = []
    for part in node.items if isinstance(node, nodes.All) else (node,):
        match part:
            case nodes.Binary("==", left, nodes.Literal(value)) | nodes.Binary("==", nodes.Literal(value), left):
                keys = _keys_of(left)
                path = _path_text(keys) if keys else ""
                key = _hash(path, value)
                if path and key and len(path) <= MAX_PATH:
                    found.append((_PREFERENCE.index(type(value)), Anchor(path, key)))
    return min(found, key=lambda one: one[0])[1] if found else None


def anchor_key(path: str, async_value: Mapping[str, object]) -> str | None:
    """Give the key by which an event finds the waits that are anchored at a path.

    Args:
        path: as in :attr:`Anchor.path`.
        async_value: the event.

    Returns:
        The key, or None when the event has no text, number or bool there, so that no anchor can hold.

    Example:
        >>> anchor_key("data.total", {"data": {"total": 1}}) == anchor_key("data.total", {"data": {"total": 1.0}})
        True
    """
    value: object = async_value
    for key in _keys_in(path):
        value = item(value, key)
    return _hash(path, value)


def _keys_of(node: Node) -> list[str | int] | None:
    """Give the keys of ``async.a["b"][0]``, or None for anything else."""
    keys: list[str | int] = []
    while isinstance(node, nodes.Index) and isinstance(node.key, nodes.Literal):
        key = node.key.value
        if type(key) is not str and (type(key) is not int or key < 0):
            return None
        keys.append(key)
        node = node.target
    return keys[::-1] if isinstance(node, nodes.Name) and node.name == "async" else None


def _path_text(keys: list[str | int]) -> str:
    return "".join(field(key) if isinstance(key, str) else f"[{key}]" for key in keys).removeprefix(".")


@functools.lru_cache(maxsize=4096)
def _keys_in(path: str) -> tuple[str | int, ...]:
    parts = _PART.finditer(path)
    return tuple(
        name or (int(number) if number else json.loads(quoted)) for name, number, quoted in map(_groups, parts)
    )


def _groups(match: re.Match[str]) -> tuple[str, str, str]:
    name, number, quoted = match.groups()
    return name, number, quoted


def _hash(path: str, value: object) -> str | None:
    """Hash path and value, such that values which ``==`` counts as equal have one hash."""
    content = written(path, value)
    return None if content is None else hashlib.blake2b(content, digest_size=16).hexdigest()
