from __future__ import annotations

import pytest

from inngest_celery.engine.trigger_names import candidates, check_pattern


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("created", ["created"]),
        ("app/user.created", ["app/user.created", "app/*", "app/user.*"]),
        ("a.b.c", ["a.b.c", "a.*", "a.b.*"]),
        ("a/b/c.d", ["a/b/c.d", "a/*", "a/b/*", "a/b/c.*"]),
        ("app/", ["app/", "app/*"]),
        ("app/*", ["app/*"]),
        ("a//b", ["a//b", "a/*", "a//*"]),
    ],
)
def test_candidates(name: str, expected: list[str]) -> None:
    assert candidates(name) == expected


@pytest.mark.parametrize("pattern", ["a", "app/user.created", "app/*", "app/user.*", "a/b/c.*", "x" * 255])
def test_patterns(pattern: str) -> None:
    check_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("", "needs the name"),
        ("  ", "needs the name"),
        ("x" * 256, "256 characters"),
        ("*", "may only stand at the end"),
        ("/*", "may only stand at the end"),
        ("app*", "may only stand at the end"),
        ("app/*.created", "may only stand at the end"),
        ("app/**", "may only stand at the end"),
        ("*/created", "may only stand at the end"),
    ],
)
def test_wrong_patterns(pattern: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_pattern(pattern)
