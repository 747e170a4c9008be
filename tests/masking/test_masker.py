"""What rules do to JSON: what they find they mask, twice is as good as once, and nothing takes long."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inngest_celery.masking import Masker, Rule
from inngest_celery.masking.sealed import MARKER

KEY = b"a key of sixteen or more"


def masker(*rules: dict[str, Any], strict: bool = False) -> Masker:
    return Masker([Rule.model_validate(rule) for rule in rules], KEY, strict=strict)


def masked(value: object, *rules: dict[str, Any], place: str = "data") -> Any:
    text = json.dumps(value)
    return json.loads(getattr(masker(*rules), place)(text, "shop/paid", "shop-charge"))


@pytest.mark.parametrize(
    ("path", "place", "value", "shown"),
    [
        ("event.data.card.number", "data", {"card": {"number": 42, "name": "A"}},
         {"card": {"number": "[masked]", "name": "A"}}),
        ("data.items[*].iban", "data", {"items": [{"iban": "x", "n": 1}, {"n": 2}, 3]},
         {"items": [{"iban": "[masked]", "n": 1}, {"n": 2}, 3]}),
        ("data.*.iban", "data", {"a": {"iban": "x"}, "b": 1}, {"a": {"iban": "[masked]"}, "b": 1}),
        ("data.list[1]", "data", {"list": ["a", "b"]}, {"list": ["a", "[masked]"]}),
        ('data["with space"].x', "data", {"with space": {"x": True}}, {"with space": {"x": "[masked]"}}),
        ("data.tree", "data", {"tree": {"a": [1]}}, {"tree": "[masked]"}),
        ("data.gone.on", "data", {"gone": None}, {"gone": None}),
        ("event.user.email", "user", {"email": "a@b.c"}, {"email": "[masked]"}),
        ("output", "output", {"a": 1}, "[masked]"),
        ("output.token", "output", {"token": "t", "x": 1}, {"token": "[masked]", "x": 1}),
        ("output.token", "data", {"token": "t"}, {"token": "t"}),
        ("error.message", "error", {"name": "E", "message": "no 7", "stack": "File x\nE: no 7", "code": "c"},
         {"name": "E", "message": "[masked]", "stack": "File x\nE: [masked]", "code": "c"}),
        ("error", "error", {"name": "E", "message": "no 7", "stack": None, "code": "c", "cause": {"x": 1}},
         {"name": "E", "message": "[masked]", "stack": None, "code": "c", "cause": "[masked]"}),
    ],
)  # fmt: skip
def test_paths(path: str, place: str, value: object, shown: object) -> None:
    assert masked(value, {"path": path}, place=place) == shown


@pytest.mark.parametrize(
    ("pattern", "text", "shown"),
    [
        ("card_number", "é4242 4242 4242 4242ü", "é[masked]ü"),
        ("card_number", "12 4242-4242-4242-4242 12/30", "12 [masked] 12/30"),
        ("card_number", "378282246310005", "[masked]"),
        ("card_number", "4242424242424241", "4242424242424241"),
        # Milliseconds, and a number of another kind that is longer.
        ("card_number", "1700000000000 99942424242424242424242", "1700000000000 99942424242424242424242"),
        ("email", "write to ada.l+x@mail.example.org.", "write to [masked]."),
        ("email", "zoë@exämple.org", "[masked]"),
        ("email", "a @ b.c, @you", "a @ b.c, @you"),
        ("iban", "DE89 3704 0044 0532 0130 00 AND MORE", "[masked] AND MORE"),
        ("iban", "gb82west12345698765432", "[masked]"),
        ("iban", repr(["\nDE89370400440532013000"]), r"['\n[masked]']"),
        ("card_number", json.dumps("\x814242424242424242"), r'"\u0081[masked]"'),
        ("card_number", repr("\x814242424242424242"), r"'\x81[masked]'"),
        ("token", repr("\nsk" + "_live_4eC39HqLyjWDarjtT1zdp7dc"), r"'\n[masked]'"),
        ("phone", repr("\t+49 30 1234567"), r"'\t[masked]'"),
        ("iban", "DE89370400440532013001", "DE89370400440532013001"),
        ("phone", "call +49 (30) 1234-5678 now", "call [masked] now"),
        ("phone", "(555) 123-4567", "[masked]"),
        ("phone", "2024-01-02 10:11", "2024-01-02 10:11"),
        ("token", "Authorization: Bearer abcdefgh12345678", "Authorization: [masked]"),
        ("token", ".".join(["eyJhbGciOiJIUzI1NiJ9", "eyJzdWIiOiIxIn0", "c2ln"]), "[masked]"),
        ("token", "sk" + "_live_4eC39HqLyjWDarjtT1zdp7dc", "[masked]"),
        ("token", "AKIA" + "IOSFODNN7EXAMPLE", "[masked]"),
        ("token", "ghp_" + "a1" * 18, "[masked]"),
        ("regex:c-\\d+", "see c-17 and c-18", "see [masked] and [masked]"),
    ],
)  # fmt: skip
def test_patterns(pattern: str, text: str, shown: str) -> None:
    assert masked({"a": [{"b": text}]}, {"pattern": pattern}) == {"a": [{"b": shown}]}


def test_numbers_and_keys_are_looked_at_too() -> None:
    value = {"n": 4242424242424242, "f": 4242424242424242.0, "b": True, "4242424242424242": 1, "4242 4242 4242 4242": 2}
    shown = {"n": "[masked]", "f": "[masked]", "b": True, "[masked]": 1, "[masked] 2": 2}
    assert masked(value, {"pattern": "card_number"}) == shown


def test_a_pattern_below_a_path() -> None:
    rule = {"pattern": "email", "path": "data.note"}
    assert masked({"note": "a@b.cd x", "to": "a@b.cd"}, rule) == {"note": "[masked] x", "to": "a@b.cd"}


def test_a_message_that_two_rules_hide_does_not_stand_in_the_traceback() -> None:
    error = {"name": "E", "message": "why a@b.cd", "stack": "E: why a@b.cd"}
    shown = masked(error, {"pattern": "email"}, {"path": "error.message"}, place="error")
    assert shown == {"name": "E", "message": "[masked]", "stack": "E: [masked]"}


def test_the_last_four_and_hashes() -> None:
    last4 = {"path": "data.*", "as": "last4"}
    assert masked({"a": "4242 4242", "b": 12345678, "c": "1234567", "d": [1]}, last4) == {
        "a": "[…4242]", "b": "[…5678]", "c": "[masked]", "d": "[masked]"
    }  # fmt: skip
    hashed = masked({"a": 12345678, "b": "12345678", "c": "x"}, {"path": "data.*", "as": "hash"})
    assert hashed["a"] == hashed["b"] != hashed["c"]
    other = Masker([Rule.model_validate({"path": "data.*", "as": "hash"})], b"another key altogether")
    assert json.loads(other.data('{"a":"x"}', None))["a"] != hashed["c"]


def test_what_an_event_or_a_function_is_not_known_of() -> None:
    rule = {"pattern": "email", "event": "billing/*"}
    text = '{"a":"a@b.cd"}'
    loose, strict = masker(rule), masker(rule, strict=True)
    assert "a@b.cd" not in loose.data(text, "billing/paid")
    assert loose.data(text, "shop/paid") == text
    assert "a@b.cd" not in loose.data(text, None)
    assert strict.data(text, None) == text


def test_what_is_sealed_is_left_alone() -> None:
    value = {"a": {MARKER: "4242424242424242"}}
    assert masked(value, {"pattern": "card_number"}, {"path": "data.a.*"}, {"path": "data.a"}) == value


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
SECRETS = st.sampled_from([
    "4242424242424242", "4242 4242 4242 4242", 4242424242424242, "ada@example.org", "DE89370400440532013000",
    "+49 30 12345678", "Bearer abcdefghijkl", "x-1234",
])  # fmt: skip
HOW = st.sampled_from(["redact", "last4", "hash"])
ALL = ("card_number", "email", "iban", "phone", "token", "regex:x-[0-9]+")


@given(JSON, SECRETS, st.sampled_from([" ", "ü", "“", "\n", "\ud83d\ude00"]), HOW)
def test_what_is_planted_is_found_and_twice_is_as_good_as_once(
    value: object, secret: object, around: str, how: str
) -> None:
    rules = [{"pattern": pattern, "as": how} for pattern in ALL]
    told = secret if isinstance(secret, int) else f"{around}{secret}{around}"
    once = masked({"it": {"is": [value, told]}}, *rules)
    assert str(secret) not in json.dumps(once["it"]["is"][1], ensure_ascii=False)
    assert masked(once, *rules) == once
    assert masked({"it": {"is": [value, told]}}, *rules) == once


@given(JSON, HOW)
def test_a_path_hides_all_that_stands_there(value: object, how: str) -> None:
    once = masked({"a": {"b": value}, "c": value}, {"path": "data.a.b", "as": how})
    assert once["c"] == json.loads(json.dumps(value))
    assert once["a"]["b"] is None if value is None else str(once["a"]["b"]).startswith("[")
    assert masked(once, {"path": "data.a.b", "as": how}) == once


@pytest.mark.parametrize("pattern", [*ALL, "regex:(a+)+b", "regex:(x|x)*y"])
@pytest.mark.parametrize("text", ["1" * 200_000, "1 " * 100_000, "DE00" * 50_000, "a" * 200_000, "a.b@" * 50_000,
                                  "eyJabcdef." * 20_000, "+49 " * 50_000, "x" * 200_000])  # fmt: skip
def test_no_text_takes_long(pattern: str, text: str) -> None:
    began = time.process_time()
    masked({"a": text}, {"pattern": pattern})
    assert time.process_time() - began < 2


def test_deep_values() -> None:
    value: Any = "a@b.cd"
    for _ in range(900):
        value = [value]
    assert "a@b.cd" not in json.dumps(masked({"a": value}, {"pattern": "email"}))
