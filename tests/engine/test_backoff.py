from __future__ import annotations

import pytest

from inngest_celery.engine.backoff import parse_retry_after, retry_delay_ms

NOW = 784_111_777_000  # Sun, 06 Nov 1994 08:49:37 GMT


def test_the_table() -> None:
    seconds = [retry_delay_ms(attempt, random=lambda: 0.0) // 1_000 for attempt in range(12)]
    assert seconds == [15, 30, 60, 120, 300, 600, 1_200, 2_400, 3_600, 7_200, 7_200, 7_200]


def test_jitter() -> None:
    assert retry_delay_ms(0, random=lambda: 0.999_999_999) == 15_000 + 29_999
    assert all(15_000 <= retry_delay_ms(0) <= 44_999 for _ in range(100))


def test_a_constant_interval_has_no_jitter() -> None:
    assert retry_delay_ms(7, interval_ms=2_000, random=lambda: 0.9) == 2_000


def test_no_negative_attempt() -> None:
    with pytest.raises(ValueError, match="counted from 0"):
        retry_delay_ms(-1)


@pytest.mark.parametrize(
    ("text", "delay"),
    [
        ("30", 30_000),
        (" 30 ", 30_000),
        ("1.0001", 1_001),
        ("0", 1_000),
        ("-5", 1_000),
        ("9999999", 86_400_000),
        ("1994-11-06T08:50:37Z", 60_000),
        ("1994-11-06T08:49:38.250Z", 1_250),
        ("Sun, 06 Nov 1994 08:50:37 GMT", 60_000),
        ("Sunday, 06-Nov-94 08:50:37 GMT", 60_000),
        ("Sun Nov  6 08:50:37 1994", 60_000),
        ("Sun, 06 Nov 1994 09:50:37 +0100", 60_000),
        ("1990-01-01T00:00:00Z", 1_000),
        ("2090-01-01T00:00:00Z", 86_400_000),
        ("", None),
        ("soon", None),
        ("1h", None),
        ("10000000", None),
        ("some other time", None),
        ("Sun, 99 Nov 1994 08:50:37 GMT", None),
    ],
)
def test_retry_after(text: str, delay: int | None) -> None:
    assert parse_retry_after(text, now_ms=NOW) == delay
