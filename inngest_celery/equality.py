"""Hashes of values that an expression compares: values which ``==`` counts as equal are written alike."""

from __future__ import annotations


def written(place: str, value: object) -> bytes | None:
    """Write a value, and where it stands, to be hashed; ``None`` if it is no text, number or truth value.

    Example:
        >>> written("data.n", 2) == written("data.n", 2.0), written("data.n", "2")
        (True, b'data.n\\x00s2')
    """
    match value:
        case bool():
            tagged = f"b{value}"
        case int():
            tagged = f"n{value:x}"
        case float():
            if value != value:
                return None
            tagged = f"n{int(value):x}" if value.is_integer() else f"n{value!r}"
        case str():
            tagged = f"s{value}"
        case _:
            return None
    return f"{place}\0{tagged}".encode("utf-8", "surrogatepass")
