"""Rules at work on the JSON text of a payload. Deterministic, idempotent, and linear in the text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from inngest_celery.masking.marks import How, mark_of, outside_marks
from inngest_celery.masking.paths import Path, Place, change_at, parse
from inngest_celery.masking.patterns import Finder, finder
from inngest_celery.masking.rules import Rule
from inngest_celery.masking.sealed import is_sealed


@dataclass(frozen=True, slots=True)
class _Compiled:
    event: str | None
    function: str | None
    path: Path | None
    find: Finder | None
    how: How
    key: bytes | None

    def change(self, value: Any) -> Any:
        """Mask a value that the rule's path leads to."""
        return mark_of(value, self.how, self.key) if self.find is None else self.search(value)

    def search(self, value: Any) -> Any:
        """Mask in place what is found in a value, in keys, too; not more of it than was found."""
        box = [value]
        stack: list[Any] = [box]
        while stack:
            container = stack.pop()
            if isinstance(container, dict):
                self._rename(container)
            items: Iterable[tuple[Any, Any]] = (
                container.items() if isinstance(container, dict) else enumerate(container)
            )
            for key, item in list(items):
                if isinstance(item, str):
                    container[key] = self.text(item)
                elif isinstance(item, dict | list):
                    if not is_sealed(item):
                        stack.append(item)
                elif isinstance(item, int | float) and not isinstance(item, bool):
                    container[key] = self._number(item)
        return box[0]

    def _rename(self, container: dict[str, Any]) -> None:
        new = {key: self.text(key) for key in container}
        if all(key == to for key, to in new.items()):
            return
        items = list(container.items())
        container.clear()
        for key, item in items:
            name, number = new[key], 2
            # Two that look the same by now are two all the same.
            while name in container:
                name, number = f"{new[key]} {number}", number + 1
            container[name] = item

    def _number(self, number: float) -> Any:
        text = str(int(number)) if isinstance(number, float) and number.is_integer() else str(number)
        changed = self.text(text)
        return number if changed == text else changed

    def text(self, text: str) -> str:
        """Mask what is found in a text."""
        return outside_marks(text, self._mark) if self.find is not None else text

    def _mark(self, text: str) -> str:
        assert self.find is not None
        parts, at = [], 0
        for start, end in self.find(text):
            parts += [text[at:start], mark_of(text[start:end], self.how, self.key)]
            at = end
        return "".join([*parts, text[at:]]) if parts else text


class Masker:
    """Some rules, ready to be applied.

    Args:
        rules: they are applied in this order.
        key: what ``hash`` is keyed with.
        strict: whether a rule for an event or function leaves alone what nobody knows the event or function of. Else
            that is masked, too: rather too much than too little.

    Example:
        >>> Masker([Rule(path="data.iban")]).data('{"iban": "DE89 3704", "sum": 3}', "shop/paid")
        '{"iban":"[masked]","sum":3}'
    """

    def __init__(self, rules: Sequence[Rule], key: bytes | None = None, *, strict: bool = False) -> None:
        self._strict = strict
        self._rules = [
            _Compiled(
                rule.event,
                rule.function,
                None if rule.path is None else parse(rule.path),
                None if rule.pattern is None else finder(rule.pattern),
                rule.as_,
                key,
            )
            for rule in rules
        ]

    def __bool__(self) -> bool:
        return bool(self._rules)

    def data(self, text: str, event: str | None, function: str | None = None) -> str:
        """Mask the JSON text of an event's data."""
        return self._masked(text, "data", event, function)

    def user(self, text: str, event: str | None, function: str | None = None) -> str:
        """Mask the JSON text of an event's user."""
        return self._masked(text, "user", event, function)

    def output(self, text: str, event: str | None, function: str | None) -> str:
        """Mask the JSON text of what a step or a function gave."""
        return self._masked(text, "output", event, function)

    def error(self, text: str, event: str | None, function: str | None) -> str:
        """Mask the JSON text of an error; what is masked of its message is masked in its traceback, too."""
        return self._masked(text, "error", event, function)

    def text(self, text: str, event: str | None = None, function: str | None = None) -> str:
        """Mask what patterns find in a text that is no payload."""
        for rule in self._for(event, function):
            text = rule.text(text) if rule.path is None else text
        return text

    def hides(self, place: Place, event: str | None = None, function: str | None = None) -> bool:
        """Tell whether something at a path of this place may be masked."""
        return any(rule.path is not None and rule.path.place == place for rule in self._for(event, function))

    def value(self, value: Any, place: Place, event: str | None, function: str | None = None) -> Any:
        """Mask a value of parsed JSON in place, and give it."""
        message = value.get("message") if place == "error" and isinstance(value, dict) else None
        rules = self._for(event, function)
        for rule in rules:
            if rule.path is not None and rule.path.place == place:
                value = self._at_path(rule, rule.path, value)
        # Before patterns change the traceback: it is to be recognised in it.
        if isinstance(message, str) and isinstance(value, dict):
            _hide_in_stack(value, message)
        for rule in rules:
            if rule.path is None:
                value = rule.search(value)
        return value

    @staticmethod
    def _at_path(rule: _Compiled, path: Path, value: Any) -> Any:
        if path.place != "error" or path.steps or not isinstance(value, dict):
            return change_at(value, path.steps, rule.change)
        # What kind of error it was is not hidden: it has to stay one.
        for name in value.keys() - {"name", "code"}:
            value[name] = rule.change(value[name])
        return value

    def _masked(self, text: str, place: Place, event: str | None, function: str | None) -> str:
        if not any(rule.path is None or rule.path.place == place for rule in self._for(event, function)):
            return text
        before = json.loads(text)
        return json.dumps(self.value(before, place, event, function), ensure_ascii=False, separators=(",", ":"))

    def _for(self, event: str | None, function: str | None) -> list[_Compiled]:
        return [rule for rule in self._rules if self._fits(rule.event, event) and self._fits(rule.function, function)]

    def _fits(self, glob: str | None, name: str | None) -> bool:
        if glob is None:
            return True
        return not self._strict if name is None else fnmatchcase(name, glob)


def _hide_in_stack(error: dict[str, Any], message: str) -> None:
    """A traceback ends with the message, which may not stand there either."""
    shown = error.get("message")
    if shown == message or not message:
        return
    for name in ("stack", "error"):
        text = error.get(name)
        if isinstance(text, str):
            for each in {message, *message.splitlines()} - {""}:
                text = text.replace(each, str(shown))
            error[name] = text
