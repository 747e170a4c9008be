"""How long runs and events are kept: the rules that ``inngest_retention`` lists."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cache
from typing import Literal

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

FOREVER = "forever"
# An event that is sent again within a day starts nothing again: until then, what it has started must be known.
LEAST_MS = 86_400_000
_WORDS = re.compile(r"(?<=\d)\s*(week|day|hour)s?\b")
Ended = Literal["completed", "failed", "cancelled", "skipped"]


class KeepRule(BaseModel):
    """One rule. Of all rules, the first one that fits a run, or an event, counts.

    Attributes:
        event: the name of events, or a glob (``billing/*``). It fits them, and the runs that they have started.
        function: the full id of a function, or a glob. It fits its runs.
        status: only runs that have ended so.
        keep: for how long after a run's end, or after an event came: ``30 days``, ``12w``; or ``forever``.

    Example:
        >>> KeepRule(function="shop-*", status="completed", keep="30 days").keep_ms
        2592000000
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    event: str | None = None
    function: str | None = None
    status: Ended | None = None
    keep: str

    @field_validator("keep")
    @classmethod
    def _is_length(cls, value: str) -> str:
        if value == FOREVER:
            return value
        length = _read(value)
        if length < LEAST_MS:
            raise ValueError(
                f'"keep" is at least one day, not {value!r}: for a day, an event that is sent again must be known'
            )
        return value

    @model_validator(mode="after")
    def _is_of_one(self) -> KeepRule:
        if bool(self.event) == bool(self.function):
            raise ValueError('a rule has either "event" or "function", a name or a glob such as "shop-*"')
        return self

    @property
    def keep_ms(self) -> int | None:
        """For how long, in milliseconds; ``None`` for ever."""
        return None if self.keep == FOREVER else _read(self.keep)

    def fits(self, function_id: str, event_name: str | None, status: str) -> bool:
        """Tell whether it is for a run."""
        if self.status not in (None, status):
            return False
        if self.function is not None:
            return fnmatchcase(function_id, self.function)
        return event_name is not None and fnmatchcase(event_name, self.event or "")

    def fits_event(self, name: str) -> bool:
        """Tell whether it is for events of this name."""
        return self.event is not None and self.status is None and fnmatchcase(name, self.event)


def for_run(rules: Sequence[KeepRule], function_id: str, event_name: str | None, status: str) -> KeepRule | None:
    """Give the rule that counts for a run; ``None`` if none does: it is kept."""
    return next((rule for rule in rules if rule.fits(function_id, event_name, status)), None)


def for_event(rules: Sequence[KeepRule], name: str) -> KeepRule | None:
    """Give the rule that counts for events of a name; ``None`` if none does."""
    return next((rule for rule in rules if rule.fits_event(name)), None)


@cache
def _read(length: str) -> int:
    """Read a duration as the engine does, and in words. Once: it is asked for with every run that is looked at."""
    # The settings are read where nothing of the engine is wanted.
    from inngest_celery.engine.durations import parse_duration

    return parse_duration(_WORDS.sub(lambda found: found[1][0], length))
