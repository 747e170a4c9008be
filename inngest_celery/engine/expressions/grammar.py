"""From text to nodes, with cel-python's CEL grammar. Loaded only when there is something to parse."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from celpy.celparser import CELParseError, CELParser
from lark import Token
from lark.exceptions import VisitError
from lark.tree import Meta
from lark.visitors import Transformer_NonRecursive, v_args

from inngest_celery.engine.expressions import nodes
from inngest_celery.engine.expressions.errors import ExpressionError
from inngest_celery.engine.expressions.nodes import Node

MACROS = {"all": 2, "exists": 2, "exists_one": 2, "filter": 2, "map": 3}
"""Each macro with the largest number of its arguments; only ``map`` may have one less."""

_Parts: TypeAlias = list[Node]
_ESCAPES = dict(zip("abfnrtv\\?\"'`", "\a\b\f\n\r\t\v\\?\"'`", strict=True))
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.)|$)", re.DOTALL)


def parse(source: str) -> Node:
    """Parse CEL text that :func:`scan.check_text` has let through.

    Raises:
        ExpressionError: ``expression_invalid``, without the source.
    """
    try:
        tree = CELParser().parse(source)
    except CELParseError as error:
        raise _syntax_error(source, error) from None
    try:
        node: Node = _Builder().transform(tree)
    except VisitError as error:
        if isinstance(error.orig_exc, ExpressionError):
            raise error.orig_exc from None
        raise
    return node


def _invalid(problem: str, advice: str, at: int | None) -> ExpressionError:
    return ExpressionError("expression_invalid", problem, advice, at=at)


_ADVICE = (
    (re.compile(r"===?|!=="), 'compare with "==" and "!="'),
    (re.compile(r"="), 'compare with "=="'),
    (re.compile(r"and\b|&"), 'write "&&" for and'),
    (re.compile(r"or\b|\|"), 'write "||" for or'),
    (re.compile(r"not\b"), 'write "!" for not'),
    (re.compile(r"\.?\d"), "read an item of a list as list[0]"),
    (re.compile(r"[“”‘’]"), "use straight quotes, \" or '"),
)


def _syntax_error(source: str, error: CELParseError) -> ExpressionError:
    token = getattr(error.__context__, "token", None)
    if token is not None and token.type == "$END":
        return _invalid("the expression ends too early", "complete it, or remove its last operator", len(source))
    if not error.line or not error.column:  # The grammar makes the tokens true and false without a place.
        return _invalid(
            f'"{token}" cannot stand where it does', f'a field of that name is read as event["{token}"]', None
        )
    lines = source.split("\n")
    at = sum(len(line) + 1 for line in lines[: error.line - 1]) + error.column - 1
    # The parser stumbles over a sign that it does not know, or over what follows it.
    for start in (at, at - 1):
        for pattern, advice in _ADVICE:
            if start >= 0 and pattern.match(source, start):
                return _invalid(f"unexpected {source[at : at + 12]!r}", advice, at)
    return _invalid(f"unexpected {source[at : at + 12]!r}", "an operator or a closing bracket belongs here", at)


def _opening(operator: str) -> Callable[[object, Meta, _Parts], Node]:
    """Give the rule for an operator and its left side; the rule above it adds the right side."""

    def opened(self: object, meta: Meta, parts: _Parts) -> Node:
        return nodes.Binary(operator, parts[0], nodes.Literal(None), at=getattr(meta, "start_pos", None))

    return opened


@v_args(meta=True)
class _Builder(Transformer_NonRecursive):  # type: ignore[type-arg]
    """Turns the grammar's tree, from its leaves up, into nodes. One method for each rule of the grammar."""

    def expr(self, meta: Meta, parts: _Parts) -> Node:
        return parts[0] if len(parts) == 1 else nodes.Conditional(*parts)

    def conditionalor(self, meta: Meta, parts: _Parts) -> Node:
        if len(parts) == 1:
            return parts[0]
        left, right = parts
        return nodes.Any((*left.items, right) if isinstance(left, nodes.Any) else (left, right))

    def conditionaland(self, meta: Meta, parts: _Parts) -> Node:
        if len(parts) == 1:
            return parts[0]
        left, right = parts
        return nodes.All((*left.items, right) if isinstance(left, nodes.All) else (left, right))

    def relation(self, meta: Meta, parts: _Parts) -> Node:
        """Join an operator's left side, a Binary whose right side is still open, with its right side."""
        if len(parts) == 1:
            return parts[0]
        opened, right = parts
        assert isinstance(opened, nodes.Binary)
        return nodes.Binary(opened.operator, opened.left, right, at=opened.at)

    addition = multiplication = relation

    relation_lt, relation_le, relation_gt, relation_ge = map(_opening, ("<", "<=", ">", ">="))
    relation_eq, relation_ne, relation_in = map(_opening, ("==", "!=", "in"))
    addition_add, addition_sub = map(_opening, "+-")
    multiplication_mul, multiplication_div, multiplication_mod = map(_opening, "*/%")

    def unary_not(self, meta: Meta, parts: _Parts) -> str:
        return "!"

    def unary_neg(self, meta: Meta, parts: _Parts) -> str:
        return "-"

    def unary(self, meta: Meta, parts: list[Node | str]) -> Node:
        operand = parts[-1]
        assert not isinstance(operand, str)
        if len(parts) == 1:
            return operand
        return nodes.Unary(str(parts[0]), operand, at=getattr(meta, "start_pos", None))

    def member(self, meta: Meta, parts: _Parts) -> Node:
        return parts[0]

    primary = paren_expr = member

    def ident(self, meta: Meta, parts: list[Token]) -> Node:
        return nodes.Name(str(parts[0]), at=parts[0].start_pos)

    def dot_ident(self, meta: Meta, parts: list[Token]) -> Node:
        raise _invalid("a name may not begin with a dot", f'write "{parts[0]}"', parts[0].start_pos)

    dot_ident_arg = dot_ident

    def member_dot(self, meta: Meta, parts: tuple[Node, Token]) -> Node:
        return nodes.Index(parts[0], nodes.Literal(str(parts[1])))

    def member_index(self, meta: Meta, parts: _Parts) -> Node:
        return nodes.Index(*parts)

    def member_object(self, meta: Meta, parts: _Parts) -> Node:
        advice = 'write a map, such as {"key": 1}'
        raise _invalid("there are no messages here", advice, getattr(meta, "start_pos", None))

    def exprlist(self, meta: Meta, parts: _Parts) -> tuple[Node, ...]:
        return tuple(parts)

    mapinits = fieldinits = exprlist

    def list_lit(self, meta: Meta, parts: list[tuple[Node, ...]]) -> Node:
        return nodes.ListOf(parts[0] if parts else ())

    def map_lit(self, meta: Meta, parts: list[tuple[Node, ...]]) -> Node:
        entries = parts[0] if parts else ()
        keys = [key.value for key in entries[::2] if isinstance(key, nodes.Literal) and isinstance(key.value, str)]
        if len(keys) != len(entries) // 2:
            raise _invalid("the keys of a map must be texts", 'write {"key": value}', getattr(meta, "start_pos", None))
        return nodes.MapOf(tuple(keys), entries[1::2])

    def ident_arg(self, meta: Meta, parts: list[Token | tuple[Node, ...]]) -> Node:
        name, *rest = parts
        arguments: tuple[Node, ...] = rest[0] if rest and isinstance(rest[0], tuple) else ()
        assert isinstance(name, Token)
        if name != "has":
            return nodes.Call(str(name), arguments, method=False, at=name.start_pos)
        match arguments:
            case (nodes.Index(target, nodes.Literal(str(key))),):
                return nodes.Has(target, key, at=name.start_pos)
        raise _invalid("has() takes one field", "write has(event.data.field)", name.start_pos)

    def member_dot_arg(self, meta: Meta, parts: list[Node | Token | tuple[Node, ...]]) -> Node:
        target, token, *rest = parts
        arguments: tuple[Node, ...] = rest[0] if rest and isinstance(rest[0], tuple) else ()
        assert isinstance(token, Token)
        assert not isinstance(target, tuple | str)
        name = str(token)
        if name not in MACROS:
            return nodes.Call(name, (target, *arguments), method=True, at=token.start_pos)
        most = MACROS[name]
        match arguments:
            case (nodes.Name() as variable, *bodies) if most - (name == "map") <= 1 + len(bodies) <= most:
                return nodes.Macro(name, target, variable.name, tuple(bodies), at=token.start_pos)
        advice = f"name the item first and then use it, as in list.{name}(item, item.field == 1)"
        raise _invalid(f"{name}() is not called like this", advice, token.start_pos)

    def literal(self, meta: Meta, parts: list[Token]) -> Node:
        token = parts[0]
        value: object
        match token.type:
            case "BOOL_LIT":
                value = token == "true"
            case "NULL_LIT":
                value = None
            case "FLOAT_LIT":
                value = float(token)
            case "INT_LIT" | "UINT_LIT":
                value = _whole_number(token)
            case "BYTES_LIT":
                raise _invalid("bytes have no place in JSON", "write the string without the b", token.start_pos)
            case _:
                value = _unquote(token)
        return nodes.Literal(value)


def _whole_number(token: Token) -> int:
    digits = token.rstrip("uU")
    if len(digits) > 320:
        raise _invalid("the number is too large", "write it as a text", token.start_pos)
    return int(digits, 16 if "x" in digits else 10)


def _unquote(token: Token) -> str:
    raw = token[0] in "rR"
    quoted = token[1:] if raw else str(token)
    width = 3 if quoted.startswith(('"""', "'''")) else 1
    content = quoted[width:-width]
    if raw or "\\" not in content:
        return content

    def unescape(match: re.Match[str]) -> str:
        short, middle, long, octal, sign = match.groups()
        code = int(octal, 8) if octal else int(short or middle or long or "110000", 16)
        if sign in _ESCAPES:
            return _ESCAPES[sign]
        if code > 0x10FFFF:
            at = (token.start_pos or 0) + width + match.start()
            raise _invalid(f"{match[0]} is no escape", "write a backslash as \\\\", at)
        return chr(code)

    return _ESCAPE.sub(unescape, content)
