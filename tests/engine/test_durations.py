from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inngest_celery.engine.durations import format_duration, parse_duration, parse_instant


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1ms", 1),
        ("30s", 30_000),
        ("5m", 300_000),
        ("1h", 3_600_000),
        ("7d", 604_800_000),
        ("2w", 1_209_600_000),
        ("1d12h", 129_600_000),
        ("1w2d3h4m5s6ms", 788_645_006),
        ("1.5s", 1_500),
        ("0.1s", 100),
        (".5h", 1_800_000),
        ("1500us", 1),
        ("2000µs", 2),
        ("999999ns", 0),
        ("1000000ns", 1),
        ("0s", 0),
        (" 10s ", 10_000),
    ],
)
def test_durations(text: str, milliseconds: int) -> None:
    assert parse_duration(text) == milliseconds


@pytest.mark.parametrize(
    "text", ["", " ", "10", "s", "1x", "1h 30m", "-1s", "1.2.3s", "1H", "٣s", "1s,", "9" * 300 + "s"]
)
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


def test_too_long_a_duration() -> None:
    with pytest.raises(ValueError, match="290 years"):
        parse_duration("999999w")


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "0s"),
        (1, "1ms"),
        (1_500, "1500ms"),
        (90_000, "90s"),
        (90_000_000, "25h"),
        (604_800_000, "1w"),
        (86_400_000, "1d"),
    ],
)
def test_format(milliseconds: int, text: str) -> None:
    assert format_duration(milliseconds) == text


@given(st.integers(0, 10**12))
def test_format_and_back(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds)) == milliseconds


def test_no_negative_duration() -> None:
    with pytest.raises(ValueError, match="negative"):
        format_duration(-1)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.5Z", 1_500),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T19:00:00-0500", 0),
        ("1970-01-01t00:00:00z", 0),
        ("1970-01-01 00:00:00 +00:00", 0),
        ("1970-01-01T00:01", 60_000),
        ("1970-01-02", 86_400_000),
        ("1969-12-31T23:59:59Z", -1_000),
        ("2030-01-31T12:00:00.123456Z", 1_896_091_200_124),
    ],
)
def test_instants(text: str, milliseconds: int) -> None:
    assert parse_instant(text) == milliseconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "2030-13-01T00:00:00Z",
        "2030-01-01T25:00:00Z",
        "20300101",
        "1h",
        "2030-01-01T00:00:00+99:99",
        "x" * 99,
    ],
)
def test_no_instants(text: str) -> None:
    with pytest.raises(ValueError, match="is not an instant"):
        parse_instant(text)


@given(st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=st.just(UTC)), st.integers(-14, 14))
def test_instants_of_all_times(moment: datetime, hours: int) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 1_000 * 1_000)
    offset = f"{'-' if hours < 0 else '+'}{abs(hours):02}:00"
    text = (moment + timedelta(hours=hours)).replace(tzinfo=None).isoformat() + offset
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=parse_instant(text)) == moment
