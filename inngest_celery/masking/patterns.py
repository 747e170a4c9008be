"""What is recognised wherever it stands. Every pattern takes time in proportion to the text, whatever that is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

# Where in a text something was found: from, to.
Spans = Iterator[tuple[int, int]]
Finder = Callable[[str], Spans]

_REGEX = "regex:"
# In what repr() or JSON has written, letters and digits of an escape may stand right before what is to be found.
_ESCAPE = re.compile(r"\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|[abfnrtv])")
_GROUPS = re.compile(r"\d+")
# By what cards begin with, and how many digits they have: times in milliseconds, say, are none of these.
_CARD = re.compile(
    r"4\d{12}(?:\d{3}){0,2}|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}|3[47]\d{13}"
    r"|(?:6011|65\d\d|64[4-9]\d)\d{12,15}|3(?:0[0-5]|[689]\d)\d{11,16}|(?:352[89]|35[3-8]\d)\d{12,15}"
    r"|62\d{14,17}|(?:50|5[6-8]|6\d)\d{10,17}"
)
_BETWEEN_DIGITS = frozenset(" -.\u00a0\u2009\u202f")
_MOST_DIGITS, _FEWEST_DIGITS = 19, 12
_IBAN_START = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}")
_IBAN_LENGTHS = range(15, 35)

_EMAIL = r"[\pL\pN.!#$%&'*+/=?^_{|}~\x60-]+@[\pL\pN-]+(?:\.[\pL\pN-]+)+"
_TOKEN = "|".join(
    (
        r"eyJ[\w-]{6,}\.[\w-]{4,}\.[\w-]*",
        r"(?i:bearer)\s+[A-Za-z0-9._~+/-]{8,}=*",
        r"\b(?:sk|pk|rk)_(?:live|test)_[0-9A-Za-z]{8,}",
        r"\bsk-[A-Za-z0-9_-]{20,}",
        r"\bgh[pousr]_[A-Za-z0-9]{20,}",
        r"\bgithub_pat_\w{20,}",
        r"\bglpat-[\w-]{20,}",
        r"\bnpm_[A-Za-z0-9]{30,}",
        r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
        r"\bAIza[\w-]{35}",
        r"\bxox[abeoprs]-[\w-]{10,}",
        r"\bwhsec_[A-Za-z0-9+/=]{16,}",
        r"\bsignkey-[a-z]+-[0-9a-f]{16,}",
    )
)
_PHONE = "|".join(
    (
        r"(?:\+|\b00)[1-9](?:[ ()./-]{0,2}\d){6,14}",
        r"\(\d{2,5}\)[ /-]?\d(?:[ ./-]?\d){4,10}",
        r"\b\d{3}[ .-]\d{3}[ .-]\d{4}\b",
    )
)


def finder(pattern: str) -> Finder:
    """Give what finds a pattern in a text.

    Args:
        pattern: ``card_number``, ``email``, ``iban``, ``phone``, ``token``, or ``regex:…`` in RE2's syntax.

    Raises:
        ValueError: there is no such pattern, or no such regular expression.

    Example:
        >>> list(finder("card_number")("pay with 4242-4242-4242-4242, please"))
        [(9, 28)]
    """
    if pattern.startswith(_REGEX):
        return _regex(pattern.removeprefix(_REGEX))
    if pattern not in _NAMED:
        raise ValueError(
            f"there is no pattern {pattern!r}; there are {', '.join(sorted(_NAMED))}, and regex:… for one of your own"
        )
    return _NAMED[pattern]()


def _regex(source: str) -> Finder:
    # Linear in the text, whatever the expression is.
    import re2  # type: ignore[import-untyped]

    options = re2.Options()
    options.log_errors = False
    try:
        compiled: Any = re2.compile(source, options=options)
    except (re2.error, UnicodeEncodeError) as error:
        reason = error.args[0] if error.args else error
        reason = reason.decode() if isinstance(reason, bytes) else reason
        raise ValueError(
            f"regex:{source} is no regular expression of RE2's, which knows no backreferences and no look-around: "
            f"{reason}"
        ) from error
    if compiled.search("") is not None:
        raise ValueError(
            f"regex:{source} is found in every text, for it matches nothing at all; let it match something"
        )

    def find(text: str) -> Spans:
        # No encoder takes half of a surrogate pair.
        known = text.encode(errors="replace").decode()
        return ((found.start(), found.end()) for found in compiled.finditer(known) if found.end() > found.start())

    return find


def _beside_escapes(find: Finder) -> Finder:
    """Find it behind the escape of a line's end, say, as behind that itself."""

    def found(text: str) -> Spans:
        return find(_ESCAPE.sub(lambda escape: " " * len(escape[0]), text) if "\\" in text else text)

    return found


def _cards(text: str) -> Spans:
    """Find runs of digits, with single separators between groups, that are card numbers by their last digit."""
    groups = [found.span() for found in _GROUPS.finditer(text)]
    first = 0
    while first < len(groups):
        last = _card_from(text, groups, first)
        if last is None:
            first += 1
            continue
        yield groups[first][0], groups[last][1]
        first = last + 1


def _card_from(text: str, groups: list[tuple[int, int]], first: int) -> int | None:
    """Give the last group of the longest card number that begins with a group."""
    digits, found = "", None
    for index in range(first, len(groups)):
        start, end = groups[index]
        if index > first and not (start - groups[index - 1][1] == 1 and text[start - 1] in _BETWEEN_DIGITS):
            break
        if len(digits) + end - start > _MOST_DIGITS:
            break
        digits += text[start:end]
        if len(digits) >= _FEWEST_DIGITS and _CARD.fullmatch(digits) and _passes_luhn(digits):
            found = index
    return found


def _passes_luhn(digits: str) -> bool:
    total = 0
    for index, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + index % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _ibans(text: str) -> Spans:
    end = 0
    for found in _IBAN_START.finditer(text):
        if found.start() >= end:
            end = _end_of_iban(text, found.start()) or end
            if end > found.start():
                yield found.start(), end


def _end_of_iban(text: str, start: int) -> int | None:
    characters, at, end = "", start, None
    while at < len(text) and len(characters) < _IBAN_LENGTHS.stop - 1:
        if text[at].isascii() and text[at].isalnum():
            characters += text[at].upper()
            follows = text[at + 1 : at + 2]
            whole = not (follows.isascii() and follows.isalnum())
            if whole and len(characters) in _IBAN_LENGTHS and _is_iban(characters):
                end = at + 1
        elif text[at] not in _BETWEEN_DIGITS:
            break
        at += 1
    return end


def _is_iban(characters: str) -> bool:
    moved = characters[4:] + characters[:4]
    return int("".join(str(int(character, 36)) for character in moved)) % 97 == 1


_NAMED: dict[str, Callable[[], Finder]] = {
    "card_number": lambda: _beside_escapes(_cards),
    # An address may have an escape in it; what is right before it goes with it.
    "email": lambda: _regex(_EMAIL),
    "iban": lambda: _beside_escapes(_ibans),
    "phone": lambda: _beside_escapes(_regex(_PHONE)),
    "token": lambda: _beside_escapes(_regex(_TOKEN)),
}
