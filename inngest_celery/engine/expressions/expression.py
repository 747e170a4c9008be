"""The expression: compiled once from text, evaluated on many events."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from inngest_celery.engine.expressions.anchors import Anchor, find_anchor
from inngest_celery.engine.expressions.check import MAX_DEPTH, check
from inngest_celery.engine.expressions.closures import Run, build, scope_of
from inngest_celery.engine.expressions.errors import EvaluationError, ExpressionError
from inngest_celery.engine.expressions.nodes import Literal, Node, depth
from inngest_celery.engine.expressions.scan import MAX_CODE, check_text
from inngest_celery.engine.expressions.simplify import simplify
from inngest_celery.engine.expressions.unparse import unparse
from inngest_celery.engine.expressions.values import MISSING

_CACHED_LENGTH = 4096


class _NotConstant:
    """The type of :data:`NOT_CONSTANT`."""

    def __repr__(self) -> str:
        return "NOT_CONSTANT"


NOT_CONSTANT: Final = _NotConstant()
"""What :attr:`Expression.constant` gives for an expression whose value depends on a variable or on the time."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression. Made by :func:`compile` and :func:`fold`.

    Attributes:
        source: its text, which compiles to the same expression.

    Example:
        >>> compile("event.data.total > 100").matches({"event": {"data": {"total": 120}}})
        True

    Mirrors https://www.inngest.com/docs/guides/writing-expressions
    """

    source: str
    node: Node = field(repr=False)
    _run: Run = field(repr=False, compare=False)

    def evaluate(self, variables: Mapping[str, object], *, now_ms: int | None = None) -> object:
        """Give the expression's value; a path that leads nowhere gives None.

        Args:
            variables: JSON values by name, such as ``{"event": …, "async": …}``; one that lacks reads as missing.
            now_ms: the time for ``now_plus`` and ``now_minus``, in milliseconds since 1970; the system's by default.

        Raises:
            EvaluationError: the expression has no value for these variables.
        """
        try:
            value = self._run(scope_of(variables, now_ms))
        except RecursionError:
            raise EvaluationError("the data is nested too deeply") from None
        except OverflowError:
            raise EvaluationError("the number is too large") from None
        return None if value is MISSING else value

    def matches(self, variables: Mapping[str, object], *, now_ms: int | None = None) -> bool:
        """Say whether the value is true: not 1, not a text, and not an error."""
        try:
            return self.evaluate(variables, now_ms=now_ms) is True
        except EvaluationError:
            return False

    @property
    def constant(self) -> object:
        """The value that the expression has whatever the variables are, or :data:`NOT_CONSTANT`."""
        if not isinstance(self.node, Literal):
            return NOT_CONSTANT
        return None if self.node.value is MISSING else self.node.value


def compile(
    source: str, *, names: frozenset[str] = frozenset({"event", "async"}), restrictive: bool = False
) -> Expression:
    """Compile an expression, or give the one that was compiled from the same text before.

    Args:
        source: CEL text.
        names: the variables that it may use.
        restrictive: allow comparisons, logic, paths, ``in``, conditionals and number conversions only, as in the ``if``
            of a cancellation. The text of a folded expression is compiled without it.

    Raises:
        ExpressionError: with the code ``expression_invalid``, ``expression_unknown_name``,
            ``expression_unknown_function`` or ``expression_not_allowed``.

    Example:
        >>> compile('event.data.plan || "free"').evaluate({"event": {"data": {}}})
        'free'
    """
    return (_compile_cached if len(source) <= _CACHED_LENGTH else _compile)(source, names, restrictive)


def _compile(source: str, names: frozenset[str], restrictive: bool) -> Expression:
    # The grammar takes a while to load, and most processes that import this module never need it.
    from inngest_celery.engine.expressions.grammar import parse

    try:
        check_text(source)
        node = parse(source)
        check(node, names, restrictive=restrictive)
    except ExpressionError as error:
        raise error.within(source) from None
    node = simplify(node)
    return Expression(source, node, build(node))


_compile_cached = functools.lru_cache(maxsize=4096)(_compile)


def fold(expression: str | Expression, event: Mapping[str, object]) -> Expression:
    """Put the values of an event in the place of ``event.*``, so that only what is still to come stays open.

    Args:
        expression: compiled, or text to compile.
        event: the event that a run began with.

    Returns:
        An expression whose ``source`` can be stored, and compiles to the same. In it a missing value is written
        ``{}.missing``, which reads as missing, not as null.

    Raises:
        ExpressionError: the text cannot be accepted.
        EvaluationError: the event's values make the expression too long to be stored.

    Example:
        >>> fold("event.data.id == async.data.id", {"data": {"id": 7}}).source
        '7 == async.data.id'
    """
    given = compile(expression) if isinstance(expression, str) else expression
    node = simplify(given.node, {"event": event})
    source = unparse(node)
    if len(source) > MAX_CODE or depth(node) > MAX_DEPTH - 2:
        # The values' own text can take the expression over a limit: be sure now that it can be read back.
        try:
            return compile(source)
        except ExpressionError as error:
            raise EvaluationError(f"with the event's data in it, {error}") from None
    return Expression(source, node, build(node))


def anchor(expression: Expression) -> Anchor | None:
    """Give the equality by which a folded expression is found when an event comes, or None if it has none.

    Example:
        >>> anchor(fold("async.data.id == event.data.id", {"data": {"id": 7}})).path
        'data.id'
    """
    return find_anchor(expression.node)
