"""Payloads with secrets at generated places, for tests that look for these in all that the product tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

RULES: list[dict[str, Any]] = [{"pattern": pattern} for pattern in ("card_number", "email", "iban", "token")]
_AROUND = st.tuples(
    st.sampled_from(["", "ü ", "“", "\n", "🎈", "x: ", "<b>", '"']),
    st.sampled_from(["", " ü", "”", "\t", ".", "&", "'"]),
)
_PLAIN = st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(st.characters(codec="utf-8"), max_size=6)
_LETTERS = st.text(ascii_lowercase, min_size=12, max_size=16)


@dataclass(frozen=True, slots=True)
class Planted:
    """A payload, and the secrets in it: what no rule leaves of them, as text that nobody writes in another way."""

    data: dict[str, Any]
    secrets: tuple[str, ...]

    def found_in(self, text: str) -> list[str]:
        """Give the secrets that a text has."""
        return [secret for secret in self.secrets if secret in text]


@st.composite
def cards(draw: st.DrawFn) -> str:
    """A card's number whose check digit is right."""
    digits = "4" + draw(st.text("0123456789", min_size=14, max_size=14))
    total = sum(sum(divmod(int(digit) * (2 - index % 2), 10)) for index, digit in enumerate(digits))
    return f"{digits}{-total % 10}"


EMAILS = st.builds("{}{}".format, _LETTERS, st.sampled_from(["@example.org", "ë@exämple.org"]))
TOKENS = _LETTERS.map(lambda text: f"Bearer {text}{text.upper()}0123456789")
IBANS = st.sampled_from(["DE89370400440532013000", "GB29NWBK60161331926819", "FR1420041010050500013M02606"])
_GROUPED = cards().map(lambda digits: " ".join(digits[start : start + 4] for start in range(0, 16, 4)))


@st.composite
def planted(draw: st.DrawFn, secrets: int = 1) -> Planted:
    """A payload with so many secrets, each in something that has something around it."""
    data, hidden = dict[str, Any](), []
    for number in range(secrets):
        secret = draw(EMAILS | cards() | cards().map(int) | _GROUPED | IBANS | TOKENS)
        before, after = draw(_AROUND)
        value: Any = secret if isinstance(secret, int) else f"{before}{secret}{after}"
        for _ in range(draw(st.integers(0, 4))):
            name = draw(st.sampled_from(["k", "ü", "a.b", "it's"]))
            value = draw(
                st.sampled_from([[value], {name: value}, [draw(_PLAIN), value], {"plain": draw(_PLAIN), name: value}])
            )
        data[f"s{number}"] = value
        # A scheme's name is nobody's secret.
        hidden.append(str(secret).removeprefix("Bearer ").removesuffix("ë@exämple.org"))
    return Planted({**data, "plain": draw(_PLAIN)}, tuple(hidden))


def some(number: int, secrets: int = 1) -> Sequence[Planted]:
    """Give so many generated payloads, others each time, for one run of what is too dear to run for each.

    A test that fails names the secret; the payload is in its report.
    """
    found: list[Planted] = []

    @settings(max_examples=number, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(planted(secrets))
    def keep(one: Planted) -> None:
        found.append(one)

    keep()
    return found
