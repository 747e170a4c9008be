"""Which expressions are accepted, and what one is told about the others."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inngest_celery.engine import expressions
from inngest_celery.engine.expressions import ExpressionError


@pytest.mark.parametrize(
    ("source", "code", "said"),
    [
        ("", "expression_invalid", "empty"),
        ("  ", "expression_invalid", "empty"),
        ("event.data.x = 1", "expression_invalid", 'at column 14: compare with "=="'),
        ("event.data.x === 1", "expression_invalid", 'compare with "=="'),
        ("event.a and event.b", "expression_invalid", 'at column 9: write "&&"'),
        ("event.a or event.b", "expression_invalid", 'write "||"'),
        ("event.a & event.b", "expression_invalid", 'write "&&"'),
        ("event.a not in [1]", "expression_invalid", 'write "!"'),
        ("event.list.0", "expression_invalid", "list[0]"),
        ("event.a == “x”", "expression_invalid", "straight quotes"),
        ("event.a ==", "expression_invalid", "ends too early at column 11"),
        ("(event.a", "expression_invalid", "ends too early"),
        ("event.a)", "expression_invalid", "at column 8"),
        ("event.a\n  == ,", "expression_invalid", "at line 2, column 6"),
        ('event.a == "x', "expression_invalid", 'no end at column 12: close it with "'),
        ('event.a == "\n"', "expression_invalid", "no end"),
        ('"\\q"', "expression_invalid", "\\q is no escape at column 2"),
        ('"\\U00110000"', "expression_invalid", "is no escape"),
        ('r"\\"', "expression_invalid", "without the r"),
        ('b"x"', "expression_invalid", "without the b"),
        ("event.true", "expression_invalid", 'event["true"]'),
        (".event", "expression_invalid", 'write "event"'),
        ("Point{x: 1}", "expression_invalid", "write a map"),
        ("Point{}", "expression_invalid", "write a map"),
        ("{1: 2}", "expression_invalid", "must be texts"),
        ("has(event)", "expression_invalid", "has(event.data.field)"),
        ("event.a.exists(1, true)", "expression_invalid", "name the item first"),
        ("event.a.exists(x)", "expression_invalid", "list.exists(item"),
        ("event.a.exists(event, event.x)", "expression_invalid", "another name"),
        ("contains(event.a, 'x')", "expression_invalid", 'text.contains("part")'),
        ("event.a.lowercase()", "expression_invalid", "write lowercase(text)"),
        ("lowercase()", "expression_invalid", "write lowercase(text)"),
        ('event.a.matches("(")', "expression_invalid", "RE2"),
        ('event.a.matches("(?=x)")', "expression_invalid", "RE2"),
        ("9" * 400, "expression_invalid", "too large"),
        (
            "evnt.data.x",
            "expression_unknown_name",
            'at column 1: an expression here knows async and event; did you mean "ev',
        ),
        ("data.x == 1", "expression_unknown_name", 'did you mean "event.data"'),
        ("event.a.exists(x, y)", "expression_unknown_name", '"y" at column 19'),
        ("toLowerCase(event.a)", "expression_unknown_function", "write lowercase(text)"),
        ("event.a.startWith('x')", "expression_unknown_function", "write text.startsWith"),
        ("sleep(1)", "expression_unknown_function", "known are"),
    ],
)
def test_refused(source: str, code: str, said: str) -> None:
    with pytest.raises(ExpressionError) as refusal:
        expressions.compile(source)
    assert refusal.value.code == code
    assert refusal.value.source == source
    assert said in str(refusal.value)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        (r'"\a\b\f\n\r\t\v\\\"\'\?\`"', "\a\b\f\n\r\t\v\\\"'?`"),
        (r"'\x41é\U0001F600\101'", "Aé😀A"),
        ('"""a"b\nc"""', 'a"b\nc'),
        ("'''a'b'''", "a'b"),
        (r'r"\d\n"', r"\d\n"),
        (r'"""\""""', '"'),
        ('""', ""),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-3", -3),
        ('1 // comment with " in it', 1),
        ("// comment\n 1", 1),
        ('"// no comment"', "// no comment"),
        ("{'true': 1}.size()", 1),
    ],
)
def test_literals(source: str, value: object) -> None:
    assert expressions.compile(source).constant == value


@pytest.mark.parametrize("source", ["event.in", "event.null", "event.inbox == 1", "event.trueish", "event.has"])
def test_words_of_the_language_as_fields(source: str) -> None:
    name = source.split(" ")[0].removeprefix("event.")
    assert expressions.compile(f"event.{name}").evaluate({"event": {name: 5}}) == 5


class TestRestrictive:
    @pytest.mark.parametrize(
        "source",
        [
            "event.data.id == async.data.id",
            '!(async.data.total > 10.5) && async.data.kind in ["a", "b"] || async.data["x"][0] != null',
            "async.data.a ? int(async.data.b) == 1 : uint(1) < double(2)",
            "async.data.a == -5",
        ],
    )
    def test_allowed(self, source: str) -> None:
        expressions.compile(source, restrictive=True)

    @pytest.mark.parametrize(
        ("source", "said"),
        [
            ("lowercase(async.data.a) == 'x'", "lowercase() is not allowed in this expression at column 1"),
            ("async.data.a.exists(x, x == 1)", "exists()"),
            ("has(async.data.a)", "has()"),
            ("async.data.a + 1 == 2", '"+"'),
            ("async.data.a % 2 == 0", '"%"'),
            ("-async.data.a == 1", '"-"'),
            ("true && now_plus('1h') > 1", "now_plus()"),
        ],
    )
    def test_not_allowed(self, source: str, said: str) -> None:
        with pytest.raises(ExpressionError) as refusal:
            expressions.compile(source, restrictive=True)
        assert refusal.value.code == "expression_not_allowed"
        assert said in str(refusal.value)


def test_names() -> None:
    with pytest.raises(ExpressionError, match="knows event"):
        expressions.compile("async.data.a", names=frozenset({"event"}))
    assert expressions.compile("output.a", names=frozenset({"output"})).evaluate({"output": {"a": 1}}) == 1


@pytest.mark.parametrize(
    "source",
    [
        "(" * 10_000 + "1",
        "!" * 30_000 + "event",
        "[" * 10_000 + "]" * 10_000,
        "event" + ".a" * 10_000,
        "1+" * 10_000 + "1",
        "event.a?" * 2_000 + "1" + ":1" * 2_000,
        "event.a || " * 5_000,
        '"' + "\\n" * 10_000,
        '"""' + "\\n" * 10_000,
        "r'" + "\\n" * 10_000,
        '"' + "\\n" * 10_000 + "\\\n",
        "\\",
        "'\\",
        'r"\\',
        "x" * 40_000,
        'event.a.matches("' + "a" * 1_001 + '")',
        'event.a.matches("((a{1000}){1000}){1000}")',
    ],
    ids=lambda source: source[:12],
)
def test_hostile_text(source: str) -> None:
    with pytest.raises(ExpressionError):
        expressions.compile(source)


def test_long_and_flat_is_fine() -> None:
    source = " || ".join(f"event.data.id == {number}" for number in range(1_000))
    assert expressions.compile(source).matches({"event": {"data": {"id": 999}}})
    assert expressions.compile("(" * 1_000 + "true" + ")" * 1_000).constant is True


_SIGNS = st.sampled_from(
    [*"()[]{}.,?:!-+*/%<>=&|\"'\\rb01a \n", "event", "async", "==", "&&", "||", "in", "has(", ".map(x,", "true", '"""']
)


@given(st.text() | st.lists(_SIGNS, max_size=30).map("".join) | st.binary().map(lambda raw: raw.decode("latin-1")))
@example("\ud800")
@example('"\ud800"')
@example("a\r\n.b")
@example('event.a.matches("\ud800")')
def test_any_text_compiles_or_is_refused(source: str) -> None:
    with contextlib.suppress(ExpressionError):
        expressions.compile(source)


def test_the_grammar_is_loaded_only_when_needed() -> None:
    code = (
        "import sys; import inngest_celery.engine.expressions; sys.exit('lark' in sys.modules or 're2' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_same_text_is_compiled_once() -> None:
    assert expressions.compile("event.data.once") is expressions.compile("event.data.once")
