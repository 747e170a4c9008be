"""What a parsed expression may contain: known names and functions; in some places only simple comparisons."""

from __future__ import annotations

import difflib

from inngest_celery.engine.expressions import functions, nodes
from inngest_celery.engine.expressions.errors import EvaluationError, ExpressionError
from inngest_celery.engine.expressions.nodes import Node

MAX_DEPTH = 64
"""Levels of nesting."""

_CALCULATIONS = frozenset("+-*/%")


def check(node: Node, names: frozenset[str], *, restrictive: bool) -> None:
    """Refuse what the expression may not contain.

    Args:
        names: the variables that exist here.
        restrictive: only comparisons, logic, paths, ``in``, conditionals and ``int``, ``uint``, ``double``.

    Raises:
        ExpressionError: with the code that fits, and without the source.
    """
    if (levels := nodes.depth(node)) > MAX_DEPTH:
        advice = f"at most {MAX_DEPTH} levels are allowed; compute the value in the event's sender instead"
        raise _error("invalid", f"the expression is nested {levels} levels deep", advice)
    if restrictive:
        for part in nodes.walk(node):
            _check_restrictive(part)
    _check(node, names, frozenset())


def _error(kind: str, problem: str, advice: str, at: int | None = None) -> ExpressionError:
    return ExpressionError(f"expression_{kind}", problem, advice, at=at)


def _check(node: Node, names: frozenset[str], bound: frozenset[str]) -> None:
    match node:
        case nodes.Name(name, at):
            if name not in names and name not in bound:
                raise _unknown_name(name, names | bound, at)
        case nodes.Macro():
            if node.variable in names:
                raise _error("invalid", f'{node.name}() binds "{node.variable}"', "choose another name", node.at)
            _check(node.target, names, bound)
            for body in node.bodies:
                _check(body, names, bound | {node.variable})
            return
        case nodes.Call():
            _check_call(node)
    for child in nodes.children(node):
        _check(child, names, bound)


def _unknown_name(name: str, names: frozenset[str], at: int | None) -> ExpressionError:
    known = " and ".join(sorted(names)) or "no names at all"
    near = difflib.get_close_matches(name, names, n=1)
    hint = f'; did you mean "{near[0]}"?' if near else ""
    if not near and name in ("data", "user", "id", "ts", "name", "v") and "event" in names:
        hint = f'; did you mean "event.{name}"?'
    return _error("unknown_name", f'unknown name "{name}"', f"an expression here knows {known}{hint}", at)


def _check_call(node: nodes.Call) -> None:
    function = functions.FUNCTIONS.get(node.name)
    if function is None:
        near = difflib.get_close_matches(node.name, functions.FUNCTIONS, n=1)
        name = functions.SYNONYMS.get(node.name) or (near[0] if near else None)
        known = f"write {functions.FUNCTIONS[name].usage}" if name else f"known are {', '.join(functions.FUNCTIONS)}"
        raise _error("unknown_function", f'unknown function "{node.name}"', known, node.at)
    allowed = function.method if node.method else function.plain
    if not allowed or len(node.arguments) != function.arity:
        raise _error("invalid", f"{node.name}() is not called like this", f"write {function.usage}", node.at)
    match node.name, node.arguments:
        case "matches", (_, nodes.Literal(str(pattern))):
            try:
                functions.compile_pattern(pattern)
            except EvaluationError as error:
                raise _error("invalid", str(error), "see https://github.com/google/re2/wiki/Syntax", node.at) from None


def _check_restrictive(node: Node) -> None:
    match node:
        case nodes.Call():
            function = functions.FUNCTIONS.get(node.name)
            if function is None or function.restrictive:
                return
            what = f"{node.name}()"
        case nodes.Macro():
            what = f"{node.name}()"
        case nodes.Has():
            what = "has()"
        case nodes.Binary() | nodes.Unary() if node.operator in _CALCULATIONS:
            what = f'the operator "{node.operator}"'
        case _:
            return
    advice = "use comparisons, &&, ||, !, in, ?: and int(), uint(), double() only; compare with null in place of has()"
    raise _error("not_allowed", f"{what} is not allowed in this expression", advice, node.at)
