"""From nodes to plain Python functions, made once and called for every event."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from typing import TypeAlias

from inngest_celery.clock import SystemClock
from inngest_celery.engine.expressions import functions, macros, nodes, values
from inngest_celery.engine.expressions.errors import EvaluationError
from inngest_celery.engine.expressions.nodes import Node
from inngest_celery.engine.expressions.values import MISSING, truthy

Scope: TypeAlias = Mapping[str, object]
Run: TypeAlias = Callable[[Scope], object]

TIME_LIMIT = 0.5
"""Seconds of processor time that one evaluation may take."""

# No name in an expression can look like these.
_NOW = "\0now"
_DEADLINE = "\0deadline"

_SCALARS = frozenset((str, int, float, bool))
_NUMBERS = frozenset((int, float))


def scope_of(variables: Scope, now_ms: int | None = None) -> Scope:
    """Give what a closure runs in: the variables, the time, and how long it may take from now."""
    return {**variables, _NOW: now_ms, _DEADLINE: time.thread_time() + TIME_LIMIT}


def _check_time(scope: Scope) -> None:
    # Processor time, not the clock on the wall: a busy machine must not turn a match into a miss.
    if time.thread_time() > scope[_DEADLINE]:  # type: ignore[operator]
        raise EvaluationError(f"the expression took more than {TIME_LIMIT} s of processor time on this event")


@functools.singledispatch
def build(node: Node) -> Run:
    """Turn a checked node into a function of the scope.

    The function raises :class:`EvaluationError` where the expression has no value, and gives ``MISSING`` where it
    leads nowhere.
    """
    raise TypeError(f"{type(node).__name__} is not a node")


@build.register
def _literal(node: nodes.Literal) -> Run:
    value = node.value
    return lambda scope: value


@build.register
def _name(node: nodes.Name) -> Run:
    name = node.name
    return lambda scope: scope.get(name, MISSING)


@build.register
def _list(node: nodes.ListOf) -> Run:
    items = [build(item) for item in node.items]
    return lambda scope: [_present(item(scope)) for item in items]


@build.register
def _map_of(node: nodes.MapOf) -> Run:
    entries = [(key, build(item)) for key, item in zip(node.keys, node.items, strict=True)]
    return lambda scope: {key: _present(item(scope)) for key, item in entries}


def _present(value: object) -> object:
    return None if value is MISSING else value


@build.register
def _index(node: nodes.Index) -> Run:
    keys: list[str] = []
    base: Node = node
    while isinstance(base, nodes.Index) and isinstance(base.key, nodes.Literal) and isinstance(base.key.value, str):
        keys.insert(0, base.key.value)
        base = base.target
    if isinstance(base, nodes.Name):
        return _path(base.name, keys)
    target, key = build(node.target), build(node.key)
    return lambda scope: values.item(target(scope), key(scope))


def _path(name: str, keys: list[str]) -> Run:
    """Read ``name.key.key…``: the hottest code of all, so it trusts that only a map takes a text as its key."""

    def read(scope: Scope) -> object:
        try:
            value: object = scope[name]
            for key in keys:
                value = value[key]  # type: ignore[index]
        except (KeyError, TypeError):
            return MISSING
        return value

    return read


@build.register
def _has(node: nodes.Has) -> Run:
    target, key = build(node.target), node.key

    def has(scope: Scope) -> object:
        value = target(scope)
        return isinstance(value, Mapping) and key in value

    return has


@build.register
def _unary(node: nodes.Unary) -> Run:
    operand = build(node.operand)
    if node.operator == "!":
        return lambda scope: not truthy(operand(scope))
    return lambda scope: values.negative(operand(scope))


@build.register
def _binary(node: nodes.Binary) -> Run:
    operator, left, right = node.operator, build(node.left), build(node.right)
    match operator:
        case "==":
            return _equality(left, right)
        case "!=":
            equal = _equality(left, right)
            return lambda scope: not equal(scope)
        case "<" | "<=" | ">" | ">=":
            compare: Callable[[object, object], object] = values.comparison(operator)
            return lambda scope: compare(left(scope), right(scope))
        case "in" | "+":
            combine = values.contains if operator == "in" else values.add

            def combined(scope: Scope) -> object:
                _check_time(scope)
                return combine(left(scope), right(scope))

            return combined
        case _:
            calculate = values.arithmetic(operator)
            return lambda scope: calculate(left(scope), right(scope))


def _equality(left: Run, right: Run) -> Run:
    def equal(scope: Scope) -> object:
        a, b = left(scope), right(scope)
        kind = type(a)
        if kind is type(b) and kind in _SCALARS:
            return a == b
        if kind is list or kind is dict:
            _check_time(scope)
        return values.equals(a, b)

    return equal


@build.register
def _all(node: nodes.All) -> Run:
    """One false item settles it, be there an error in another."""
    items = [build(item) for item in node.items]

    def every(scope: Scope) -> object:
        failure: EvaluationError | None = None
        for item in items:
            try:
                value = item(scope)
            except EvaluationError as error:
                failure = failure or error
                continue
            if value is not True and not truthy(value):
                return False
        if failure:
            raise failure
        return True

    return every


@build.register
def _any(node: nodes.Any) -> Run:
    """One true item settles it, be there an error in another."""
    items = [build(item) for item in node.items]

    def first(scope: Scope) -> object:
        failure: EvaluationError | None = None
        value: object = MISSING
        for item in items:
            try:
                value = item(scope)
            except EvaluationError as error:
                failure = failure or error
                continue
            if value is True or truthy(value):
                return value
        if failure:
            raise failure
        return value

    return first


@build.register
def _conditional(node: nodes.Conditional) -> Run:
    condition, then, otherwise = build(node.condition), build(node.then), build(node.otherwise)
    return lambda scope: then(scope) if truthy(condition(scope)) else otherwise(scope)


@build.register
def _call(node: nodes.Call) -> Run:
    function, arguments = functions.FUNCTIONS[node.name], [build(argument) for argument in node.arguments]
    absent = 0 if node.name == "size" else False

    def call(scope: Scope) -> object:
        _check_time(scope)
        given = [argument(scope) for argument in arguments]
        if any(argument is MISSING for argument in given):
            return absent
        if function.timed:
            now_ms = scope.get(_NOW)
            given.append(SystemClock().now() if now_ms is None else now_ms)
        return function.call(*given)

    return call


@build.register
def _macro(node: nodes.Macro) -> Run:
    target, variable = build(node.target), node.variable
    finish, bodies = macros.MACROS[node.name], [build(body) for body in node.bodies]

    def run(scope: Scope) -> object:
        items = target(scope)
        if items is MISSING:
            return False
        if not isinstance(items, (list, Mapping)):
            raise EvaluationError(f"{node.name}() goes over a list or a map, not {values.describe(items)}")
        inner = dict(scope)

        def with_item(body: Run) -> Run:
            def on(item: object) -> object:
                _check_time(scope)
                inner[variable] = item
                return body(inner)

            return on

        return finish(items, *[with_item(body) for body in bodies])

    return run
