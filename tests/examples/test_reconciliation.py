"""Reconciliation: the arithmetic, the functions without a worker, and a worker killed half way."""

from __future__ import annotations

from pathlib import Path

import pytest

import inngest_celery as inngest
from examples.reconciliation import app, books, matching
from inngest_celery.testing import Inline
from tests.examples.demos import play

LINES = 60


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    books.generate(tmp_path, LINES, seed=7)
    return tmp_path


def test_totals_of_parts_join_to_those_of_the_whole() -> None:
    ledger = {"a": 100, "b": 200, "d": 400}
    entries = [books.Entry("a", 100), books.Entry("b", 250), books.Entry("c", 300)]
    parts = [matching.match([entry], ledger) for entry in entries]
    assert matching.joined(parts) == matching.match(entries, ledger)
    report = matching.report(matching.joined(parts), ledger)
    assert {kind: report[f"{kind}_cents"] for kind in ("matched", "differing", "unbooked", "unpaid")} == {
        "matched": 100,
        "differing": 250,
        "unbooked": 300,
        "unpaid": 400,
    }
    assert [report[kind] for kind in ("matched", "differing", "unbooked", "unpaid")] == [1, 1, 1, 1]


@pytest.mark.parametrize("each_line", [False, True])
def test_all_parts_together_come_to_what_is_computed_directly(directory: Path, each_line: bool) -> None:
    app.loader.import_default_modules()
    inline = Inline(app)
    data = {"directory": str(directory), "lines": LINES, "part": 25, "each_line": each_line}
    received = inngest.Event(name="bank/statement.received", data=data)
    [run] = inline.send(received)
    assert inline.runs.get(run.id).output == matching.computed_directly(directory)
    assert inline.send(received) == []
    assert len([part for part in inline.runs.list() if part.function_id == "bank-match-part"]) == 3
    inline.close()


@pytest.mark.timeout(180)
def test_a_worker_killed_half_way_costs_no_line() -> None:
    told = play("examples.reconciliation", "--lines", "500")
    assert "SIGKILL for worker-1" in told
    assert "5 parts recorded, each once; 500 lines accounted for" in told
