"""Folding an event into an expression, writing it down, reading it back, and finding it by its anchor."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inngest_celery.engine import expressions
from inngest_celery.engine.expressions import EvaluationError, Expression
from inngest_celery.engine.expressions.closures import build, scope_of
from inngest_celery.engine.expressions.grammar import parse
from inngest_celery.engine.expressions.unparse import unparse
from inngest_celery.engine.expressions.values import MISSING
from tests.engine.expressions.generated import EVENTS, JSON, NUMBERS, SCALARS, sources

EVENT = {
    "data": {"id": "u1", "total": 5, "rate": 0.5, "nothing": None, "tags": ["a", "b"], "map": {"k": [1]}, "yes": True},
    "ts": 1_700_000_000_000,
}


def outcome(expression: Expression, variables: Mapping[str, object]) -> str:
    """Give the value with its type, so that 1, 1.0 and true differ, and that NaN equals itself."""
    try:
        return repr(expression.evaluate(variables, now_ms=0))
    except EvaluationError:
        return "error"


def literal_outcome(source: str, variables: Mapping[str, object]) -> str:
    """Give the outcome of the expression as it is written, with nothing worked out beforehand."""
    return outcome(Expression(source, parse(source), build(parse(source))), variables)


@pytest.mark.parametrize(
    ("source", "folded"),
    [
        ("event.data.id == async.data.id", '"u1" == async.data.id'),
        ("async.data.id == event.data.id && event.data.total > 3", 'async.data.id == "u1"'),
        ("async.data.id == event.data.id && event.data.total > 9", "false"),
        ("event.data.total == 5 || async.data.x == 1", "true"),
        ("event.data.gone == async.data.id", "{}.missing == async.data.id"),
        ("event.data.nothing == async.data.id", "null == async.data.id"),
        ("async.data.n > event.data.rate * 2", "async.data.n > 1.0"),
        ("async.data.tag in event.data.tags", 'async.data.tag in ["a", "b"]'),
        ("event.data.tags.exists(t, t == async.data.tag)", '["a", "b"].exists(t, t == async.data.tag)'),
        ("event.data.map[async.data.key] == 1", 'json_parse("{\\"k\\":[1]}")[async.data.key] == 1'),
        ("event.data.yes ? async.data.a : async.data.b", "async.data.a"),
        ("event.data.yes && async.data.yes", "async.data.yes && true"),
        ('async.data["a b"]["in"] == -event.data.total', 'async.data["a b"]["in"] == -5'),
        ("(async.a + 1) * 2 == async.b - (async.c - 1)", "(async.a + 1) * 2 == async.b - (async.c - 1)"),
        ("(async.a ? async.b : async.c) ? 1 : 2", "(async.a ? async.b : async.c) ? 1 : 2"),
        ("!(async.a && (async.b || async.c))", "!(async.a && (async.b || async.c))"),
        ('async.ts < now_plus("1h")', 'async.ts < now_plus("1h")'),
        ("has(async.data.x) && has(event.data.id)", "has(async.data.x)"),
        ('async.a == double("NaN")', 'async.a == double("NaN")'),
        ("async.a < 1e999 && async.a > -1e999", "async.a < 1e999 && async.a > -1e999"),
        ('async.a == {"k": async.b}', 'async.a == {"k": async.b}'),
        ("(1 / 0) == async.a", "1 / 0 == async.a"),
    ],
)
def test_folded_text(source: str, folded: str) -> None:
    expression = expressions.fold(source, EVENT)
    assert expression.source == folded
    assert unparse(expressions.compile(folded).node) == folded


def test_missing_stays_missing() -> None:
    """Missing and null are equal to each other, but not in order."""
    missing = expressions.fold("event.data.gone < async.data.x", EVENT)
    null = expressions.fold("event.data.nothing < async.data.x", EVENT)
    below = {"async": {"data": {"x": -1}}}
    assert missing.matches(below)
    assert not null.matches(below)
    assert expressions.compile(missing.source).matches(below)


@given(sources(), EVENTS, EVENTS)
@settings(max_examples=400, deadline=None)
def test_folding_keeps_the_meaning(source: str, event: dict[str, object], other: dict[str, object]) -> None:
    expected = literal_outcome(source, {"event": event, "async": other})
    assert outcome(expressions.compile(source), {"event": event, "async": other}) == expected
    folded = expressions.fold(source, event)
    assert outcome(folded, {"async": other}) == expected
    assert outcome(expressions.compile(folded.source), {"async": other}) == expected


@given(sources(), EVENTS, EVENTS)
@settings(max_examples=200, deadline=None)
def test_text_and_back(source: str, event: dict[str, object], other: dict[str, object]) -> None:
    variables = {"event": event, "async": other}
    written = unparse(parse(source))
    assert literal_outcome(written, variables) == literal_outcome(source, variables)
    assert unparse(parse(written)) == written


def test_the_sign_of_nothing_is_kept() -> None:
    assert unparse(parse("-(0)")) == "-(0)"
    assert unparse(parse("-(1)")) == "-1"


@given(JSON)
def test_any_json_value_can_be_written(value: object) -> None:
    folded = expressions.fold("event.v", {"v": value})
    assert repr(expressions.compile(folded.source).constant) == repr(value)


@given(sources(), EVENTS, EVENTS)
@settings(max_examples=400, deadline=None)
def test_an_event_that_matches_is_found_by_the_anchor(
    source: str, event: dict[str, object], other: dict[str, object]
) -> None:
    folded = expressions.fold(source, event)
    anchor = expressions.anchor(folded)
    assert expressions.anchor(expressions.compile(folded.source)) == anchor
    if anchor and folded.matches({"async": other}, now_ms=0):
        assert expressions.anchor_key(anchor.path, other) == anchor.key


@given(SCALARS | NUMBERS, SCALARS | NUMBERS)
def test_equal_values_have_equal_keys(left: object, right: object) -> None:
    expression = expressions.fold("event.v == async.v", {"v": left})
    anchor = expressions.anchor(expression)
    if anchor is None:
        assert left is None or left != left
    else:
        found = expressions.anchor_key("v", {"v": right}) == anchor.key
        assert found is expression.matches({"async": {"v": right}})


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("async.data.id == event.data.id", "data.id"),
        ("event.data.id == async.data.id", "data.id"),
        ("async.data.n > 1 && async.data.n == 5 && async.data.id == 'x'", "data.id"),
        ("async.data.ok == true && async.data.n == 5", "data.n"),
        ("(async.data.n > 1 && (async.data.n == 5 && async.data.m != 2))", "data.n"),
        ('async["a b"].c[0] == 1', '["a b"].c[0]'),
        ('async.data["a b"].c[0] == 1', 'data["a b"].c[0]'),
        ("async.data.ok == false", "data.ok"),
        ("async.data.id == event.data.gone", None),
        ("async.data.id == event.data.nothing", None),
        ("async.data.id == event.data.tags", None),
        ("async.data.id == event.data.id || async.data.x == 1", None),
        ("!(async.data.id == event.data.id)", None),
        ("async.data.x ? async.data.id == event.data.id : false", None),
        ("async.data.id != event.data.id", None),
        ("async.data.id == async.data.other", None),
        ("lowercase(async.data.id) == event.data.id", None),
        ("async.data[async.data.k] == event.data.id", None),
        ('async == "x"', None),
        ("async.data." + "x" * 300 + " == 1", None),
        ('async.data.id == "a" ? true : true', None),
    ],
)
def test_anchor(source: str, path: str | None) -> None:
    anchor = expressions.anchor(expressions.fold(source, EVENT))
    assert (anchor and anchor.path) == path
    assert anchor is None or len(anchor.key) == 32


def test_keys_never_change() -> None:
    """They are stored, so that a new release must find what an old one has written."""
    keys = [expressions.anchor_key("data.id", {"data": {"id": value}}) for value in ("u1", 1, 1.0, 0.5, True)]
    assert keys == [
        "ab765bcb670449ea0cc4a4676a3f5269",
        "3d0aeaa261a15606cd06ddb8d8343048",
        "3d0aeaa261a15606cd06ddb8d8343048",
        "19fcef380101c7a704511905944da8dc",
        "8fcce272e228fa6a7a49f2f9e013ba80",
    ]


@given(st.lists(st.text(min_size=1, max_size=4) | st.integers(0, 3), min_size=1, max_size=4))
def test_any_path_can_be_written(keys: list[str | int]) -> None:
    path = "".join(f"[{json.dumps(key)}]" for key in keys)
    value: object = "found"
    for key in reversed(keys[1:]):
        value = {key: value} if isinstance(key, str) else [None] * key + [value]
    event = {str(keys[0]): value}
    path = f"[{json.dumps(str(keys[0]))}]" + path[path.index("]", len(json.dumps(keys[0]))) + 1 :]
    anchor = expressions.anchor(expressions.compile(f'async{path} == "found"'))
    assert anchor
    assert expressions.anchor_key(anchor.path, event) == anchor.key
    assert expressions.anchor_key(anchor.path, {}) is None


class TestBounds:
    def test_large_data_is_written_once_and_read_back(self) -> None:
        event = {"data": {"list": [{"id": number} for number in range(5_000)]}}
        folded = expressions.fold("event.data.list.exists(x, x.id == async.data.id)", event)
        assert expressions.compile(folded.source).matches({"async": {"data": {"id": 4_999}}})

    def test_too_large_data(self) -> None:
        event = {"data": {"map": {"k": "x" * 3_000_000}}}
        with pytest.raises(EvaluationError, match="longer"):
            expressions.fold(" || ".join(["event.data.map[async.k]"] * 4), event)

    def test_too_much_code(self) -> None:
        source = " || ".join(["async.a == event.x"] * 1_400)
        with pytest.raises(EvaluationError, match="32768"):
            expressions.fold(source, {"x": 1.7976931348623157e308})

    def test_too_deep_data(self) -> None:
        deep: list[object] = []
        for _ in range(20_000):
            deep = [deep]
        with pytest.raises(EvaluationError, match="nested"):
            expressions.fold("event.x[async.i]", {"x": deep})

    def test_nesting_at_the_limit(self) -> None:
        expression = expressions.compile("!" * 62 + "async[event]")
        with pytest.raises(EvaluationError, match="levels"):
            expressions.fold(expression, {"a": {}})


def test_missing_is_no_json() -> None:
    """It never gets out of an evaluation."""
    assert expressions.compile("event.x").evaluate({}) is None
    assert build(parse("event.x"))(scope_of({})) is MISSING
