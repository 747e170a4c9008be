"""An error's stack, as the user should see it: without the frames of this package."""

from __future__ import annotations

import traceback
from pathlib import Path

_PACKAGE = str(Path(__file__).parent.parent)
_OURS = tuple(str(Path(_PACKAGE) / name) for name in ("sdk", "drivers", "worker", "testing", "experimental"))


def user_stack(error: BaseException) -> str:
    """Give the traceback as text, leaving out the frames before, and inside, user code that are ours.

    Example:
        >>> try:
        ...     1 / 0
        ... except ZeroDivisionError as error:
        ...     user_stack(error).splitlines()[0]
        'Traceback (most recent call last):'
    """
    report = traceback.TracebackException.from_exception(error)
    _drop_our_frames(report)
    return "".join(report.format())


def _drop_our_frames(report: traceback.TracebackException) -> None:
    theirs = [frame for frame in report.stack if not frame.filename.startswith(_OURS)]
    report.stack = traceback.StackSummary.from_list(theirs)
    for related in (report.__cause__, report.__context__, *(report.exceptions or ())):
        if related is not None:
            _drop_our_frames(related)
