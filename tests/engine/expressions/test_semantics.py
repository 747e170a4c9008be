"""What expressions mean: a table with the rows of Inngest's semantics, then each operator and function."""

from __future__ import annotations

import pytest

from inngest_celery.engine import expressions
from inngest_celery.engine.expressions import EvaluationError

EVENT = {
    "name": "shop/order.paid",
    "ts": 1_700_000_000_000,
    "data": {
        "total": 120,
        "rate": 1.5,
        "whole": 2.0,
        "name": "Ada",
        "empty": "",
        "zero": 0,
        "no": False,
        "yes": True,
        "nothing": None,
        "tags": ["a", "b", "c"],
        "items": [{"sku": "x", "n": 1}, {"sku": "y", "n": 2}],
        "a b": 7,
        "nested": {"list": [1, [2, 3]]},
        "json": '{"k": [1, 2]}',
        "base64": "aMOpbGxv",
        "at": "2023-11-14T22:13:20Z",
    },
}
VARIABLES = {"event": EVENT, "async": {"data": {"total": 120.0, "name": "ada"}}}
NOW = 1_700_000_000_000


def value_of(source: str) -> object:
    return expressions.compile(source).evaluate(VARIABLES, now_ms=NOW)


MISSING_AND_NULL = [
    ("event.data.gone", None),
    ("event.data.gone.deeper[0].still", None),
    ("event.data.name.deeper", None),
    ("event.data.nothing.deeper", None),
    ("event.data.tags[9]", None),
    ("event.data.tags[-1]", None),
    ('event.data.tags["0"]', None),
    ("event.data.gone == null", True),
    ("event.data.gone != null", False),
    ("null == event.data.gone", True),
    ("event.data.gone == event.data.also", True),
    ("event.data.gone == 1", False),
    ('event.data.gone == ""', False),
    ("event.data.gone == false", False),
    ("event.data.gone != 1", True),
    ("event.data.gone < 1", True),
    ("event.data.gone <= 1", True),
    ("1 < event.data.gone", False),
    ("1 <= event.data.gone", False),
    ("event.data.gone > 1", False),
    ("event.data.gone >= 1", False),
    ("1 > event.data.gone", True),
    ("1 >= event.data.gone", True),
    ('event.data.gone < "a"', True),
    ("event.data.gone < event.data.also", True),
    ("size(event.data.gone)", 0),
    ("event.data.gone.size()", 0),
    ("event.data.gone + 1", 1),
    ("1 + event.data.gone", 1),
    ('event.data.gone + "x"', "x"),
    ("event.data.gone + event.data.also", None),
    ("lowercase(event.data.gone)", False),
    ('event.data.gone.startsWith("a")', False),
    ("event.data.name.startsWith(event.data.gone)", False),
    ("int(event.data.gone)", False),
    ("event.data.gone in [1]", False),
    ("event.data.gone in [null]", False),
    ("1 in event.data.gone", False),
    ("event.data.gone * 2", False),
    ("-event.data.gone", False),
    ("event.data.gone.exists(x, true)", False),
    ("event.data.gone.all(x, true)", False),
    ("event.data.nothing == null", True),
    ("event.data.nothing != null", False),
    ("event.data.nothing == 0", False),
    ("event.data.nothing != 0", True),
    ("event.data.nothing == event.data.gone", True),
    ("event.data.nothing < 1", True),
    ("event.data.nothing > -1", True),
    ("0 <= event.data.nothing", True),
    ('event.data.nothing < "a"', True),
    ("event.data.nothing < true", True),
    ("event.data.nothing <= null", True),
    ("event.data.nothing < null", False),
    ("event.data.nothing + 1", 1),
    ("[event.data.gone]", [None]),
    ('{"a": event.data.gone}', {"a": None}),
]

TRUTH = [
    ('event.data.gone || "default"', "default"),
    ('event.data.nothing || "default"', "default"),
    ('event.data.empty || "default"', "default"),
    ('event.data.zero || "default"', "default"),
    ('event.data.no || "default"', "default"),
    ('event.data.name || "default"', "Ada"),
    ("event.data.gone || 0", 0),
    ("0 || event.data.gone", None),
    ("event.data.tags || 1", ["a", "b", "c"]),
    ("[] || 1", []),
    ("{} || 1", {}),
    ('double("NaN") || 1', 1),
    ("event.data.yes && event.data.name", True),
    ("event.data.yes && event.data.gone", False),
    ("event.data.name && event.data.zero", False),
    ("event.data.empty ? 1 : 2", 2),
    ("event.data.gone ? 1 : 2", 2),
    ('event.data.name ? "x" : "y"', "x"),
    ("!event.data.gone", True),
    ("!event.data.name", False),
    ("!0", True),
    ('!!"a"', True),
    # A side that settles it wins over an error in the other one, on either side.
    ('(1 < "a") || true', True),
    ('true || (1 < "a")', True),
    ('(1 < "a") && false', False),
    ('false && (1 < "a")', False),
]

OPERATORS = [
    ("1 == 1.0", True),
    ("event.data.total == async.data.total", True),
    ("1 < 1.5", True),
    ("2 >= event.data.whole", True),
    ("9007199254740993 == 9007199254740992.0", False),
    ("1 == true", False),
    ("0 == false", False),
    ('1 == "1"', False),
    ("[1, true] == [1.0, true]", True),
    ("[1] == [true]", False),
    ('{"a": [1]} == {"a": [1.0]}', True),
    ('{"a": 1} == {"b": 1}', False),
    ('"a" < "b"', True),
    ("false < true", True),
    ('"n" + 1', "n1"),
    ('1 + "n"', "1n"),
    ('"n" + 2.0', "n2"),
    ('"n" + 1.5', "n1.5"),
    ('"a" + "b"', "ab"),
    ("[1] + [2]", [1, 2]),
    ("7 / 2", 3),
    ("-7 / 2", -3),
    ("-7 % 2", -1),
    ("7.0 / 2", 3.5),
    ("5.5 % 2", 1.5),
    ("2 * 1.5 - 1", 2.0),
    ("-event.data.total", -120),
    ("1 - -1", 2),
    ("1-1", 0),
    ("0x1F + 1u", 32),
    ("1 + 2 * 3 == 7 && !(1 > 2)", True),
    ("event.data.tags[1]", "b"),
    ("event.data.tags[1.0]", "b"),
    ('event.data["a b"]', 7),
    ('event["data"]["name"]', "Ada"),
    ("event.data.nested.list[1][0]", 2),
    ("event.data.tags[event.data.whole]", "c"),
    ('"b" in event.data.tags', True),
    ('"z" in event.data.tags', False),
    ("1.0 in [1]", True),
    ("true in [1]", False),
    ('"name" in event.data', True),
    ('event.data.name in ["Ada", "Bo"]', True),
    ("has(event.data.name)", True),
    ("has(event.data.nothing)", True),
    ("has(event.data.gone)", False),
    ("has(event.data.name.deeper)", False),
    ('has(event.data["a b"])', True),
    ("true ? 1 : false ? 2 : 3", 1),
]

FUNCTIONS = [
    ("lowercase(event.data.name)", "ada"),
    ("lowercase(event.data.name) == async.data.name", True),
    ("uppercase(event.data.name)", "ADA"),
    ("b64decode(event.data.base64)", "héllo"),
    ('b64decode("_-A")', EvaluationError),
    ("json_parse(event.data.json).k[1]", 2),
    ("date(event.data.at)", NOW),
    ("date(event.data.at) == event.ts", True),
    ('date("1970-01-01")', 0),
    ('now_plus("1h")', NOW + 3_600_000),
    ('now_minus("1d12h")', NOW - 129_600_000),
    ('event.ts > now_minus("1m") && event.ts < now_plus("1m")', True),
    ("size(event.data.tags)", 3),
    ('size("héé")', 3),
    ("event.data.name.size()", 3),
    ("size(event.data.nested)", 1),
    ('event.data.name.contains("d")', True),
    ('event.data.name.startsWith("A")', True),
    ('event.data.name.endsWith("A")', False),
    ('event.data.name.matches("^A.a$")', True),
    ('event.data.name.matches("d")', True),
    ('matches(event.data.name, "[0-9]")', False),
    ("int(event.data.rate)", 1),
    ('int("-12")', -12),
    ("uint(3.9)", 3),
    ("double(1)", 1.0),
    ('double("1.5")', 1.5),
    ("string(1.0)", "1"),
    ("string(true)", "true"),
    ("string(1.25)", "1.25"),
    ('bool("true")', True),
    ("bool(false)", False),
    ("event.data.items.exists(i, i.sku == 'y' && i.n == 2)", True),
    ("event.data.items.exists_one(i, i.n > 1)", True),
    ("event.data.items.all(i, i.n > 1)", False),
    ("event.data.items.filter(i, i.n > 1)", [{"sku": "y", "n": 2}]),
    ("event.data.items.map(i, i.n * 10)", [10, 20]),
    ("event.data.items.map(i, i.n > 1, i.sku)", ["y"]),
    ("event.data.items.map(i, i.gone)", [None, None]),
    ('{"a": 1, "b": 2}.exists(key, key == "b")', True),
    ("[1, 2].map(x, [3, 4].map(y, x * y))", [[3, 4], [6, 8]]),
    ("[1, 2].map(x, [3].map(x, x))", [[3], [3]]),
    ('[1, "a"].exists(x, x > 0)', True),
    ('["a", 1].all(x, x > 1)', False),
    ("event.data.total > 100 ? lowercase(event.data.name) : string(event.ts)", "ada"),
]


@pytest.mark.parametrize(("source", "expected"), [*MISSING_AND_NULL, *TRUTH, *OPERATORS, *FUNCTIONS])
def test_value(source: str, expected: object) -> None:
    if expected is EvaluationError:
        with pytest.raises(EvaluationError):
            value_of(source)
    else:
        value = value_of(source)
        assert value == expected
        assert type(value) is type(expected)


@pytest.mark.parametrize(
    "source",
    [
        '1 < "a"',
        "[1] < [2]",
        "1 / 0",
        "1.5 % 0",
        "true + 1",
        '"a" * 2',
        '-"a"',
        "1 in 2",
        "lowercase(1)",
        "lowercase(null)",
        "size(1)",
        "string(null)",
        "string([])",
        'int("1.5")',
        'int("٣")',
        "int(true)",
        "int(1e300)",
        "uint(-1)",
        'double("x")',
        "double(true)",
        "bool(1)",
        'json_parse("{")',
        'date("soon")',
        'now_plus("soon")',
        "(5).exists(x, true)",
        '"abc".matches(event.data.name + "(")',
        "[1, 'a'].all(x, x > 0)",
    ],
)
def test_no_value(source: str) -> None:
    with pytest.raises(EvaluationError):
        value_of(source)
    assert not expressions.compile(source).matches(VARIABLES)


@pytest.mark.parametrize(
    ("source", "matched"),
    [
        ("event.data.total > 100", True),
        ("event.data.yes", True),
        ("event.data.total", False),
        ("event.data.name", False),
        ("event.data.name || true", False),
        ("event.data.gone", False),
        ('event.data.total > "a"', False),
    ],
)
def test_only_true_matches(source: str, *, matched: bool) -> None:
    assert expressions.compile(source).matches(VARIABLES) is matched


def test_a_variable_that_lacks_is_missing() -> None:
    assert expressions.compile("async.data.x == null").matches({"event": EVENT})


def test_the_system_clock_is_the_default() -> None:
    assert expressions.compile('event.ts < now_minus("1h")').matches(VARIABLES)


@pytest.mark.parametrize(
    ("source", "constant"),
    [
        ("true", True),
        ("1 + 1 == 2 && !false", True),
        ("false && event.data.x == 1", False),
        ("event.data.x == 1 && 1 == 2", False),
        ("{}.missing", None),
        ('"a" || event.data.x', "a"),
        ("[1, 2].map(x, x + 1)", [2, 3]),
        ("event.data.x", expressions.NOT_CONSTANT),
        ("event.data.x && true", expressions.NOT_CONSTANT),
        ('now_plus("1h")', expressions.NOT_CONSTANT),
        ('[1].map(x, now_plus("1h"))', expressions.NOT_CONSTANT),
        ("1 / 0", expressions.NOT_CONSTANT),
    ],
)
def test_constant(source: str, constant: object) -> None:
    assert expressions.compile(source).constant == constant


class TestBounds:
    def test_deep_data(self) -> None:
        deep: list[object] = []
        for _ in range(20_000):
            deep = [deep]
        same: list[object] = []
        for _ in range(20_000):
            same = [same]
        with pytest.raises(EvaluationError, match="nested"):
            expressions.compile("event.a == event.b").evaluate({"event": {"a": deep, "b": same}})

    def test_deep_json(self) -> None:
        with pytest.raises(EvaluationError, match="nested"):
            expressions.compile("json_parse(event.a)").evaluate({"event": {"a": "[" * 100_000}})

    def test_a_loop_in_a_loop_comes_to_an_end(self) -> None:
        source = "event.a.all(x, event.a.all(y, event.a.all(z, x + y + z >= 0)))"
        with pytest.raises(EvaluationError, match="processor time"):
            expressions.compile(source).evaluate({"event": {"a": list(range(1_000))}})

    def test_text_does_not_grow_without_end(self) -> None:
        event = {"a": "x" * 600_000, "b": [1] * 3}
        with pytest.raises(EvaluationError, match="parts"):
            expressions.compile("event.a + event.a").evaluate({"event": event})
        with pytest.raises(EvaluationError, match="parts"):
            expressions.compile("event.b.map(x, event.a)").evaluate({"event": event})

    def test_numbers_do_not_grow_without_end(self) -> None:
        event = {"a": 1 << 800}
        for source in ("event.a * event.a", "event.a * event.a * 1.5", 'event.a * event.a + "x"'):
            with pytest.raises(EvaluationError, match="too large"):
                expressions.compile(source).evaluate({"event": event})

    def test_a_hostile_pattern_takes_linear_time(self) -> None:
        expression = expressions.compile('event.a.matches("(a+)+$")')
        assert not expression.matches({"event": {"a": "a" * 50_000 + "b"}})
