"""Working out now what does not depend on anything still to come."""

from __future__ import annotations

from collections.abc import Mapping

from inngest_celery.engine.expressions import functions, nodes
from inngest_celery.engine.expressions.closures import Scope, build, scope_of
from inngest_celery.engine.expressions.errors import EvaluationError
from inngest_celery.engine.expressions.nodes import Literal, Node
from inngest_celery.engine.expressions.values import truthy

_BOOLEAN = frozenset(("==", "!=", "<", "<=", ">", ">=", "in", "!"))


def simplify(node: Node, known: Mapping[str, object] | None = None) -> Node:
    """Give an expression with the same meaning, in which all that is already known has become a literal.

    Args:
        node: the expression.
        known: variables whose value is known, such as ``event`` once a run has begun.
    """
    return _simplify(node, known or {}, scope_of({}))


def _simplify(node: Node, known: Mapping[str, object], scope: Scope) -> Node:
    if isinstance(node, nodes.Name):
        return Literal(known[node.name]) if node.name in known else node
    parts = tuple(_simplify(child, known, scope) for child in nodes.children(node))
    node = nodes.with_children(node, parts)
    match node:
        case nodes.All():
            return _simplify_all(node)
        case nodes.Any():
            return _simplify_any(node)
        case nodes.Conditional(Literal(condition), then, otherwise):
            return then if truthy(condition) else otherwise
        case _:
            return _evaluated(node, scope)


def _evaluated(node: Node, scope: Scope) -> Node:
    if not isinstance(node, Literal) and _is_known(node):
        try:
            return Literal(build(node)(scope))
        except (EvaluationError, OverflowError, RecursionError):
            pass  # It fails in the same way when it is evaluated.
    return node


def _is_known(node: Node) -> bool:
    if isinstance(node, nodes.Macro):
        timed = any(_is_timed(part) for part in nodes.walk(node))
        return not timed and isinstance(node.target, Literal) and not _free_names(node)
    return not _is_timed(node) and all(isinstance(child, Literal) for child in nodes.children(node))


def _is_timed(node: Node) -> bool:
    return isinstance(node, nodes.Call) and functions.FUNCTIONS[node.name].timed


def _free_names(node: Node) -> frozenset[str]:
    if isinstance(node, nodes.Name):
        return frozenset((node.name,))
    if isinstance(node, nodes.Macro):
        inside = frozenset().union(*(_free_names(body) for body in node.bodies))
        return _free_names(node.target) | (inside - {node.variable})
    return frozenset().union(*(_free_names(child) for child in nodes.children(node)))


def _simplify_all(node: nodes.All) -> Node:
    items: list[Node] = []
    for item in node.items:
        if isinstance(item, nodes.All):
            items += item.items
        elif not isinstance(item, Literal):
            items.append(item)
        elif not truthy(item.value):
            return Literal(False)
    if not items:
        return Literal(True)
    return items[0] if len(items) == 1 and _is_boolean(items[0]) else nodes.All(tuple(items))


def _simplify_any(node: nodes.Any) -> Node:
    flat = [part for item in node.items for part in (item.items if isinstance(item, nodes.Any) else (item,))]
    items: list[Node] = []
    for position, item in enumerate(flat, start=1):
        if not isinstance(item, Literal) or position == len(flat):
            items.append(item)
        elif truthy(item.value):
            items.append(item)
            break
    return items[0] if len(items) == 1 else nodes.Any(tuple(items))


def _is_boolean(node: Node) -> bool:
    match node:
        case nodes.Unary() | nodes.Binary():
            return node.operator in _BOOLEAN
        case nodes.Macro():
            return node.name in ("all", "exists", "exists_one")
        case _:
            return isinstance(node, nodes.All | nodes.Has)
