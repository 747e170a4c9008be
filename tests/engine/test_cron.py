from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inngest_celery.engine.cron import Cron, jitter_ms, parse

HOUR = 3_600_000
DAY = 24 * HOUR


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1_000)


def times(cron: Cron, start: str, count: int) -> list[str]:
    found, moment = [], ms(start)
    for _ in range(count):
        moment = cron.next_after(moment)
        found.append(datetime.fromtimestamp(moment / 1_000, UTC).strftime("%m-%d %H:%M"))
    return found


@pytest.mark.parametrize(
    ("cron", "start", "expected"),
    [
        ("*/15 * * * *", "2030-01-01T00:00:00Z", ["01-01 00:15", "01-01 00:30"]),
        ("*/15 * * * *", "2030-01-01T00:14:59.999Z", ["01-01 00:15", "01-01 00:30"]),
        ("0 9 * * MON-FRI", "2030-01-04T12:00:00Z", ["01-07 09:00", "01-08 09:00"]),
        ("0 9 * * 1-5", "2030-01-04T12:00:00Z", ["01-07 09:00", "01-08 09:00"]),
        ("0 0 1 jan,jul ?", "2030-01-01T00:00:00Z", ["07-01 00:00", "01-01 00:00"]),
        ("0 0 13 * FRI", "2030-01-01T00:00:00Z", ["01-04 00:00", "01-11 00:00", "01-13 00:00"]),
        ("0 0 29 2 *", "2030-01-01T00:00:00Z", ["02-29 00:00", "02-29 00:00"]),
        ("TZ=Europe/Paris 30 9 * * *", "2030-01-01T00:00:00Z", ["01-01 08:30", "01-02 08:30"]),
        ("CRON_TZ=America/New_York  30 9 * * *", "2030-07-01T00:00:00Z", ["07-01 13:30"]),
        ("TZ=UTC 0 0 * * *", "2030-07-01T00:00:00Z", ["07-02 00:00"]),
        # Paris skips 02:00-03:00 on 31 March 2030 and repeats it on 27 October 2030.
        ("TZ=Europe/Paris 30 2 * * *", "2030-03-30T12:00:00Z", ["03-31 01:00", "04-01 00:30"]),
        ("TZ=Europe/Paris 30 2 * * *", "2030-10-26T12:00:00Z", ["10-27 00:30", "10-28 01:30"]),
        ("TZ=Europe/Paris 30 2 * * *", "2030-10-27T01:10:00Z", ["10-28 01:30"]),
        ("TZ=Europe/Paris 15,45 2 * * *", "2030-03-30T12:00:00Z", ["03-31 01:00", "04-01 00:15"]),
        ("TZ=Europe/Paris */30 * * * *", "2030-03-31T00:29:00Z", ["03-31 00:30", "03-31 01:00", "03-31 01:30"]),
        ("TZ=Europe/Paris */30 2 * * *", "2030-10-26T23:00:00Z", ["10-27 00:00", "10-27 00:30", "10-27 01:00"]),
    ],
)
def test_next(cron: str, start: str, expected: list[str]) -> None:
    assert times(parse(cron), start, len(expected)) == expected


@pytest.mark.parametrize(
    ("cron", "after", "until", "expected"),
    [
        ("*/15 * * * *", "2030-01-01T00:00:00Z", "2030-01-01T01:07:00Z", "2030-01-01T01:00:00Z"),
        ("*/15 * * * *", "2030-01-01T00:00:00Z", "2030-01-01T01:00:00Z", "2030-01-01T01:00:00Z"),
        ("*/15 * * * *", "2030-01-01T00:00:00Z", "2030-01-01T00:14:59Z", None),
        ("*/15 * * * *", "2030-01-01T01:00:00Z", "2030-01-01T01:00:00Z", None),
        ("*/15 * * * *", "2030-01-02T01:00:00Z", "2030-01-01T01:00:00Z", None),
        ("* * * * *", "1990-01-01T00:00:00Z", "2030-01-01T00:00:30Z", "2030-01-01T00:00:00Z"),
        ("0 0 29 2 *", "1990-01-01T00:00:00Z", "2031-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("TZ=Europe/Paris 30 2 * * *", "2030-03-30T12:00:00Z", "2030-03-31T01:00:00Z", "2030-03-31T01:00:00Z"),
        ("TZ=Europe/Paris 30 2 * * *", "2030-03-30T12:00:00Z", "2030-03-31T00:59:59Z", None),
        ("TZ=Europe/Paris 30 2 * * *", "2030-10-26T12:00:00Z", "2030-10-27T01:40:00Z", "2030-10-27T00:30:00Z"),
        ("TZ=Europe/Paris 30 2 * * *", "2030-10-27T00:30:00Z", "2030-10-27T01:40:00Z", None),
    ],
)
def test_latest(cron: str, after: str, until: str, expected: str | None) -> None:
    assert parse(cron).latest_between(ms(after), ms(until)) == (expected and ms(expected))


CRONS = [
    *(
        "*/7 * * * *",
        "0 * * * *",
        "30 2 * * *",
        "15,45 1-3 * * *",
        "*/20 2 * * *",
        "0 */2 * * *",
        "0 0 * * SUN",
        "5 3 31 3 *",
    ),
]
# Around both clock changes of one that moves by an hour, one by half an hour, and one at midnight.
ZONES = {
    "Europe/Paris": ("2030-03-31T01:00:00Z", "2030-10-27T01:00:00Z"),
    "Australia/Lord_Howe": ("2030-04-06T15:00:00Z", "2030-10-05T15:30:00Z"),
    "America/Santiago": ("2030-04-07T03:00:00Z", "2030-09-08T04:00:00Z"),
}


@given(
    st.sampled_from(CRONS),
    st.sampled_from([(zone, change) for zone, changes in ZONES.items() for change in changes]),
    st.integers(-5 * HOUR, 5 * HOUR) | st.integers(-20, 20).map(lambda quarter: quarter * HOUR // 4),
    st.integers(0, 10 * HOUR) | st.integers(0, 8).map(lambda quarter: quarter * HOUR // 4),
)
@settings(max_examples=300, deadline=None)
def test_backwards_agrees_with_forwards(fields: str, place: tuple[str, str], start: int, span: int) -> None:
    zone, change = place
    cron = parse(f"TZ={zone} {fields}")
    after = ms(change) + start
    passed = [after]
    while (following := cron.next_after(passed[-1])) <= after + span:
        passed.append(following)
    assert all(earlier < later for earlier, later in pairwise(passed))
    assert cron.latest_between(after, after + span) == (passed[-1] if len(passed) > 1 else None)


def test_it_does_not_matter_where_in_a_clock_change_one_begins() -> None:
    cron, change = parse("TZ=Australia/Lord_Howe */20 2 * * *"), 1_901_719_800_000
    following = cron.next_after(change - 1_000)
    assert cron.next_after(change - HOUR) == following
    assert cron.latest_between(change - 1_000, following) == following
    assert cron.latest_between(change - 1_000, following - 1) is None


@given(
    st.sampled_from(CRONS),
    st.sampled_from(sorted(ZONES)),
    st.integers(0, 80 * 365 * DAY),
    st.integers(0, 40 * 365 * DAY),
)
@settings(max_examples=50, deadline=None)
def test_latest_is_the_last_one(fields: str, zone: str, after: int, span: int) -> None:
    cron = parse(f"TZ={zone} {fields}")
    latest = cron.latest_between(after, after + span)
    if latest is None:
        assert cron.next_after(after) > after + span
    else:
        assert after < latest <= after + span < cron.next_after(latest)


def test_midnight_that_does_not_exist() -> None:
    moment = parse("TZ=America/Santiago 0 0 * * *").next_after(ms("2030-09-07T12:00:00Z"))
    assert (
        datetime.fromtimestamp(moment / 1_000, ZoneInfo("America/Santiago")).isoformat() == "2030-09-08T01:00:00-03:00"
    )


@pytest.mark.parametrize(
    ("cron", "said"),
    [
        ("", "has 0 fields"),
        ("* * * *", "has 4 fields"),
        ("0 * * * * *", "has 6 fields"),
        ("@hourly", r'such as "0 \* \* \* \*"'),
        ("@every 5m", "write five fields"),
        ("61 * * * *", "bad minute"),
        ("0 25 * * *", "bad hour"),
        ("0 0 0 * *", "bad day-of-month"),
        ("0 0 30 2 *", "bad day-of-month"),
        ("0 0 1 FOO *", "bad month"),
        ("0 0 * * 8", "bad day-of-week"),
        ("*/0 * * * *", "bad minute"),
        ("TZ=Mars/Olympus 0 0 * * *", "not a time zone"),
        ("TZ=../etc 0 0 * * *", "not a time zone"),
        ("TZ=Europe 0 0 * * *", "not a time zone"),
        ("TZ= 0 0 * * *", "not a time zone"),
        ("TZ=Europe/Paris", "has 0 fields"),
        ("* " * 200, "at most 255"),
    ],
)
def test_wrong_crons(cron: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(cron)


@given(st.text(st.sampled_from("0123456789*/-,?L#W @TZ=MONUC\x00"), max_size=30))
def test_any_text_is_a_cron_or_a_value_error(text: str) -> None:
    try:
        cron = parse(text)
    except ValueError as refusal:
        assert str(refusal)  # noqa: PT017
    else:
        assert cron.next_after(0) > 0


class TestJitter:
    def test_none(self) -> None:
        assert jitter_ms("app-fn 0 * * * *", None) == 0

    def test_it_is_always_the_same(self) -> None:
        assert [jitter_ms(key, "5m") for key in "abc"] == [134_343, 290_333, 258_555]

    def test_bounds(self) -> None:
        shifts = [jitter_ms(str(key), "30s") for key in range(500)]
        assert all(1_000 <= shift < 30_000 for shift in shifts)
        assert len(set(shifts)) > 400
        assert jitter_ms("a", "1s") == 1_000

    @pytest.mark.parametrize("jitter", ["999ms", "301s", "0s", "soon"])
    def test_out_of_bounds(self, jitter: str) -> None:
        with pytest.raises(ValueError, match=r"jitter|duration"):
            jitter_ms("a", jitter)
