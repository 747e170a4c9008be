"""Made-up expressions and events, for Hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

NUMBERS = (
    st.integers(-3, 3)
    | st.sampled_from([-1.0, -0.0, 0.0, 0.5, 1.0, 2.0, 1e22, float("inf"), float("nan"), 2**53 + 1, 2.0**53, 10**40])
    | st.integers()
    | st.floats()
)
TEXTS = st.sampled_from(["", "a", "b", "1", "A", 'q"\\\n', "\x00\x7f\u2028é😀"]) | st.text(max_size=5)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
KEYS = st.sampled_from(["a", "b", "c", "a b", "true", "in"])
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
EVENTS = st.dictionaries(st.sampled_from(["a", "b", "data"]), JSON, max_size=3)

_LITERALS = [
    *("null", "true", "false", "0", "1", "-1", "1.0", "0.5", "2", '""', '"a"', "'A'", '"1"', "[]", "{}", '"a b"'),
    *('[1, "a", null]', '{"a": 1}', "{}.missing", '[[1], {"b": [2]}]', '"aQ=="', '"2030-01-01"'),
]
_BINARY = ["==", "!=", "<", "<=", ">", ">=", "in", "+", "-", "*", "/", "%", "==", "==", "&&", "||", "&&"]


_PATH_STEPS = st.sampled_from([".a", ".b", ".data", '["a b"]', "[0]", "[1.0]", '["true"]', ".in"])
_SHAPES = [
    "({0}) {binary} ({1})",
    "({0}) {binary} ({1})",
    "{path} == ({0})",
    "{path} == ({0}) && ({1})",
    "({0}) && ({1}) && {path} == ({0})",
    "({0}) ? ({1}) : ({2})",
    "!({0})",
    "-({0})",
    "{function}({0})",
    "({0}).{method}({1})",
    "({0}).{macro}(x, ({1}) == x)",
    "({0}).map(x, x, [x, {1}])",
    "[{0}, {1}]",
    '{{"a": {0}, "a b": {1}}}',
    "({0})[{1}]",
    "({0}).a",
    "has(({0}).a)",
]
_FUNCTIONS = ["lowercase", "uppercase", "size", "int", "double", "string", "bool", "b64decode", "json_parse", "date"]
_METHODS = ["contains", "startsWith", "endsWith", "matches"]
_MACROS = ["all", "exists", "exists_one", "filter", "map"]


@st.composite
def paths(draw: st.DrawFn) -> str:
    return draw(st.sampled_from(["event", "async"])) + "".join(draw(st.lists(_PATH_STEPS, max_size=3)))


@st.composite
def sources(draw: st.DrawFn, depth: int = 3) -> str:
    """Make up an expression; the deeper, the larger."""
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        return draw(paths() | st.sampled_from(_LITERALS))
    shape = draw(st.sampled_from(_SHAPES))
    parts = [draw(sources(depth - 1)) if f"{{{number}}}" in shape else "" for number in range(3)]
    return shape.format(
        *parts,
        path=draw(paths()),
        binary=draw(st.sampled_from(_BINARY)),
        function=draw(st.sampled_from(_FUNCTIONS)),
        method=draw(st.sampled_from(_METHODS)),
        macro=draw(st.sampled_from(_MACROS)),
    )
