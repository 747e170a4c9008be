"""From nodes back to text that compiles to the same nodes. This is what a wait stores.

Two values have no CEL literal of their own. A missing one is written ``{}.missing``: a field that an empty map does not
have. A map, or a list that is not short and flat, is written as ``json_parse("…")``.
"""

from __future__ import annotations

import json
import math
import re

from inngest_celery.engine.expressions import nodes
from inngest_celery.engine.expressions.errors import EvaluationError
from inngest_celery.engine.expressions.nodes import Node
from inngest_celery.engine.expressions.scan import MAX_LENGTH
from inngest_celery.engine.expressions.values import MISSING

_CONDITIONAL, _OR, _AND, _RELATION, _ADDITION, _PRODUCT, _UNARY, _MEMBER = range(8)
_LEVELS = dict.fromkeys("+-", _ADDITION) | dict.fromkeys("*/%", _PRODUCT)
_FIELD = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_RESERVED = frozenset(
    (
        "as",
        "break",
        "const",
        "continue",
        "else",
        "false",
        "for",
        "function",
        "if",
        "import",
        "in",
        "let",
        "loop",
        "package",
        "namespace",
        "null",
        "return",
        "true",
        "var",
        "void",
        "while",
    )
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_SHORT = 32


def unparse(node: Node) -> str:
    """Write a node as CEL.

    Raises:
        EvaluationError: the text would be longer than an expression may be.
    """
    writer = _Writer()
    writer.write(node, _CONDITIONAL)
    return "".join(writer.parts)


def field(key: str) -> str:
    """Write the reading of one field: ``.name``, or ``["any text"]`` where it is not a name.

    >>> field("email"), field("a b")
    ('.email', '["a b"]')
    """
    return f".{key}" if _FIELD.fullmatch(key) and key not in _RESERVED else f"[{quote(key)}]"


def quote(text: str) -> str:
    """Write a text as a CEL string.

    >>> print(quote('say "hi"'))
    "say \\"hi\\""
    """
    return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(text, ensure_ascii=False))


def _literal(value: object) -> str:
    match value:
        case bool() | None:
            text = json.dumps(value)
        case int():
            text = str(value) if abs(value) < 1 << 64 else f"{'-' * (value < 0)}{abs(value):#x}"
        case float():
            text = _decimal(value)
        case str():
            text = quote(value)
        case list() if len(value) <= _SHORT and not any(isinstance(item, list | dict) for item in value):
            text = f"[{', '.join(map(_literal, value))}]"
        case _:
            text = "{}.missing" if value is MISSING else _parsed(value)
    return text


def _parsed(value: object) -> str:
    try:
        return f"json_parse({quote(json.dumps(value, ensure_ascii=False, separators=(',', ':')))})"
    except RecursionError:
        raise EvaluationError("the event's data is nested too deeply to be kept in an expression") from None


def _decimal(value: float) -> str:
    if math.isnan(value):
        return 'double("NaN")'
    return repr(value).replace("inf", "1e999")


class _Writer:
    """Collects the pieces of the text, and stops when there is too much of it."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self._length = 0

    def write(self, node: Node, level: int) -> None:
        """Write a node where something of this level is expected, in parentheses if it binds less."""
        wrapped = _level(node) < level
        self._add("(" if wrapped else "")
        self._write(node)
        self._add(")" if wrapped else "")

    def _add(self, text: str) -> None:
        self._length += len(text)
        if self._length > MAX_LENGTH:
            raise EvaluationError(f"with the event's data in it the expression is longer than {MAX_LENGTH} characters")
        self.parts.append(text)

    def _write(self, node: Node) -> None:
        match node:
            case nodes.Literal(value):
                self._add(_literal(value))
            case nodes.Name(name):
                self._add(name)
            case nodes.Index():
                self._index(node)
            case nodes.Unary("-", nodes.Literal(value)) if type(value) is int and value == 0:
                # Read again, "-0" would be the number 0, and lose its sign.
                self._add("-(0)")
            case nodes.Unary():
                self._add(node.operator)
                self.write(node.operand, _UNARY)
            case nodes.Binary():
                self.write(node.left, _level(node))
                self._add(f" {node.operator} ")
                self.write(node.right, _level(node) + 1)
            case nodes.All():
                self._join(node.items, " && ", _RELATION)
                self._add(" && true" if len(node.items) == 1 else "")
            case nodes.Any():
                self._join(node.items, " || ", _AND)
            case nodes.Conditional():
                self.write(node.condition, _OR)
                self._add(" ? ")
                self.write(node.then, _OR)
                self._add(" : ")
                self.write(node.otherwise, _CONDITIONAL)
            case _:
                self._write_call(node)

    def _write_call(self, node: nodes.Has | nodes.ListOf | nodes.MapOf | nodes.Call | nodes.Macro) -> None:
        match node:
            case nodes.Has():
                self._add("has(")
                self.write(node.target, _MEMBER)
                self._add(f"{field(node.key)})")
            case nodes.ListOf():
                self._add("[")
                self._join(node.items, ", ", _CONDITIONAL)
                self._add("]")
            case nodes.MapOf():
                self._add("{")
                for position, (key, item) in enumerate(zip(node.keys, node.items, strict=True)):
                    self._add(f"{', ' * bool(position)}{quote(key)}: ")
                    self.write(item, _CONDITIONAL)
                self._add("}")
            case nodes.Call():
                self._method(node.arguments[0] if node.method else None, node.name)
                self._join(node.arguments[node.method :], ", ", _CONDITIONAL)
                self._add(")")
            case nodes.Macro():
                self._method(node.target, node.name)
                self._join((nodes.Name(node.variable), *node.bodies), ", ", _CONDITIONAL)
                self._add(")")

    def _index(self, node: nodes.Index) -> None:
        self.write(node.target, _MEMBER)
        match node.key:
            case nodes.Literal(str(key)):
                self._add(field(key))
            case key:
                self._add("[")
                self.write(key, _CONDITIONAL)
                self._add("]")

    def _method(self, target: Node | None, name: str) -> None:
        if target:
            self.write(target, _MEMBER)
            self._add(".")
        self._add(f"{name}(")

    def _join(self, items: tuple[Node, ...], separator: str, level: int) -> None:
        for position, item in enumerate(items):
            self._add(separator if position else "")
            self.write(item, level)


_NODE_LEVELS: dict[type, int] = {nodes.Conditional: _CONDITIONAL, nodes.Any: _OR, nodes.All: _AND, nodes.Unary: _UNARY}


def _level(node: Node) -> int:
    match node:
        case nodes.Binary():
            return _LEVELS.get(node.operator, _RELATION)
        case nodes.Literal(value) if isinstance(value, int | float):
            return _UNARY  # Even without a sign: "0.size()" would read as the number "0." and a name.
        case _:
            return _NODE_LEVELS.get(type(node), _MEMBER)
