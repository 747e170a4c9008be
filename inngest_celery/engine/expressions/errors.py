"""What can go wrong with an expression: it cannot be accepted, or it cannot be evaluated on some data.

ValueError
├── ExpressionError    the text itself is wrong; refused before anything is stored
└── EvaluationError    the text is right, but has no value for this event; a match treats it as "no"
"""

from __future__ import annotations


class ExpressionError(ValueError):
    """An expression cannot be accepted as it is written.

    Attributes:
        code: ``expression_invalid`` (syntax, size), ``expression_unknown_name``, ``expression_unknown_function`` or
            ``expression_not_allowed`` (fine in general, but not in this place). Codes never change.
        source: the expression as it was given.
    """

    def __init__(self, code: str, problem: str, advice: str, *, source: str = "", at: int | None = None) -> None:
        self.code = code
        self.problem = problem
        self.advice = advice
        self.source = source
        self.at = at
        super().__init__(f"{problem}{self._place()}: {advice}")

    def within(self, source: str) -> ExpressionError:
        """Give the same error, knowing the text that it is about."""
        return ExpressionError(self.code, self.problem, self.advice, source=source, at=self.at)

    def _place(self) -> str:
        if self.at is None:
            return ""
        before = self.source[: self.at]
        line, column = before.count("\n") + 1, self.at - (before.rfind("\n") + 1) + 1
        return f" at column {column}" if line == 1 else f" at line {line}, column {column}"


class EvaluationError(ValueError):
    """An expression has no value for this event, for example because it compares text with a number."""

    code = "expression_failed"
