"""Inngest's expressions: CEL text over ``event`` and ``async``, compiled to plain Python functions.

The text is parsed by cel-python's grammar (:mod:`.scan`, :mod:`.grammar`), checked (:mod:`.check`), simplified
(:mod:`.simplify`) and turned into closures (:mod:`.closures`). What values mean is in :mod:`.values`: a missing field
is no error, and truth is JavaScript's.

Mirrors https://www.inngest.com/docs/guides/writing-expressions
"""

from inngest_celery.engine.expressions.anchors import Anchor, anchor_key
from inngest_celery.engine.expressions.errors import EvaluationError, ExpressionError
from inngest_celery.engine.expressions.expression import NOT_CONSTANT, Expression, anchor, compile, fold

__all__ = [
    "NOT_CONSTANT",
    "Anchor",
    "EvaluationError",
    "Expression",
    "ExpressionError",
    "anchor",
    "anchor_key",
    "compile",
    "fold",
]
