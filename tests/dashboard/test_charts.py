"""The geometry of charts, and the figures that they show."""

from __future__ import annotations

import pytest

from inngest_celery.server.dashboard.charts import curves, sparkline, stacked, time_marks
from inngest_celery.server.dashboard.figures import figures_of, percentiles, sample
from inngest_celery.store.rows import RunStatus
from inngest_celery.store.statistics import RunTimes


def test_columns_stand_upon_each_other_below_a_round_number() -> None:
    chart = stacked([[("completed", 60), ("failed", 30)], [("completed", 0), ("failed", 0)]], ["one", "two"])
    assert [(mark.at, mark.text) for mark in chart.rows] == [(50, "50"), (0, "100")]
    below, above = chart.columns
    assert (below.kind, below.y, below.height) == ("completed", 40, 60)
    assert (above.kind, above.y, above.height) == ("failed", 10, 30)
    assert 0 < below.x < below.x + below.width < 50
    assert [(slot.x, slot.title) for slot in chart.slots] == [(0, "one"), (50, "two")]


def test_a_line_breaks_where_something_is_missing() -> None:
    chart = curves([("p50", [1_000, 2_000, None, 4_000])], ["a", "b", "c", "d"])
    [curve] = chart.curves
    assert curve.pieces == ["12.5,75.0 37.5,50.0"]
    assert curve.dots == [(87.5, 0.0)]
    assert [mark.text for mark in chart.rows] == ["1.0 s", "2.0 s", "3.0 s", "4.0 s"]


def test_nothing_is_drawn_of_nothing() -> None:
    assert sparkline([[("failed", 0)], []]) == []
    assert stacked([], []).rows == []
    assert curves([("p50", [None, None])], ["", ""]).curves[0].pieces == []


def test_a_time_axis_ends_now() -> None:
    assert [(mark.at, mark.text) for mark in time_marks(7_200_000, 3_600_000)] == [
        (0, "−2h"),
        (50, "−1h"),
        (100, "now"),
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], [None, None, None]),
        ([(7, 1.0)], [7, 7, 7]),
        ([(value, 1) for value in range(1, 101)], [50, 95, 99]),
        # One that stands for 98 others.
        ([(10, 98.0), (500, 1), (600, 1)], [10, 10, 500]),
    ],
)
def test_percentiles(values: list[tuple[int, float]], expected: list[int | None]) -> None:
    assert percentiles(values) == expected


def test_what_was_read_stands_for_what_was_not() -> None:
    # Two runs a second in the last second of four; more were not read.
    times = [RunTimes(RunStatus.FAILED, 3_500, 3_600, 3_700), RunTimes(RunStatus.COMPLETED, 3_000, 3_100, 3_500)]
    busy, quiet = sample(0, 4_000, times, most=2), sample(4_000, 8_000, [], most=2)
    assert (busy.weight, quiet.weight) == (4, 1)
    figures = figures_of([busy, quiet])
    assert (figures.read, figures.runs, figures.exact, figures.failure_rate) == (2, 8, False, 0.5)
    assert (figures.durations, figures.waits) == ([100, 400, 400], [100, 100, 100])
