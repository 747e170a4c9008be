"""Inventory: one sync without a worker, and two at once with one, in front of real HTTP servers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import inngest_celery as inngest
from examples.inventory import app
from examples.inventory.vendors import Vendor, running
from inngest_celery.testing import Inline
from tests.examples.demos import play

REQUESTED = inngest.Event(name="inventory/sync.requested")


def sync(monkeypatch: pytest.MonkeyPatch, vendors: list[Vendor]) -> Any:
    app.loader.import_default_modules()
    with running(vendors) as addresses:
        monkeypatch.setenv("VENDORS", addresses)
        inline = Inline(app)
        [run] = inline.send(REQUESTED)
        inline.advance(timedelta(minutes=10))
        output = inline.runs.get(run.id).output
        inline.close()
    return output


def three(**of_east: Any) -> list[Vendor]:
    return [Vendor("north", latency=0), Vendor("east", latency=0, **of_east), Vendor("south", latency=0)]


def test_all_stock_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    output = sync(monkeypatch, three())
    assert (output["units"], output["complete"]) == (3000, True)


def test_a_page_that_cannot_be_read_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    vendors = three(broken_pages=frozenset({2}))
    output = sync(monkeypatch, vendors)
    assert (output["units"], output["complete"]) == (2750, False)
    assert output["vendors"]["east"] == {"units": 750, "missing pages": [2]}
    # Three attempts; in the morning's sync as well, if it falls into these ten minutes.
    assert vendors[1].failed % 3 == 0


def test_a_busy_vendor_is_asked_again_once(monkeypatch: pytest.MonkeyPatch) -> None:
    vendors = three(busy_pages={1})
    output = sync(monkeypatch, vendors)
    assert output["complete"]
    assert [page for page, _, _ in vendors[1].refused] == [1]


@pytest.mark.timeout(180)
def test_limits_hold_for_two_syncs_at_once() -> None:
    told = play("examples.inventory")
    assert "Together 2750 units; complete: False" in told
    assert "2 of 2" in told
