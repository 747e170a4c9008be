"""Workers are killed at every boundary, with SIGKILL, and nothing is lost or recorded twice."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import OpenShop

# The last one kills the main process of a worker, the others a process of its pool.
PLACES = (
    "before_body",
    "after_body",
    "before_checkpoint",
    "after_checkpoint",
    "after_hint",
    "before_ack",
    "route_before_commit",
    "route_after_commit",
    "sweep_after_commit",
)
HOT, HOP = 0.25, 0.0


@pytest.mark.pairs
@pytest.mark.parametrize("slice_seconds", [HOT, HOP], ids=["hot", "hop"])
def test_a_crash_at_any_boundary(slice_seconds: float, open_shop: OpenShop) -> None:
    shop = open_shop(slice=slice_seconds)
    shop.worker(pool="prefork", concurrency=2)
    shop.worker(pool="prefork", concurrency=1)
    for place in PLACES:
        shop.order_crash(place)
        shop.place(1, "order/placed-sync" if place == "after_body" else "order/placed")
        shop.wait_for_crash(place)
    shop.wait_for_runs()
    shop.check(repeats=len(PLACES))


@pytest.mark.pairs
@pytest.mark.parametrize("slice_seconds", [HOT, HOP], ids=["hot", "hop"])
def test_a_whole_worker_dies_in_the_middle(slice_seconds: float, open_shop: OpenShop) -> None:
    shop = open_shop(slice=slice_seconds)
    doomed = shop.worker(pool="prefork", concurrency=2)
    shop.place(8)
    shop.wait_for_bodies(6)
    doomed.sigkill()
    shop.worker(pool="prefork", concurrency=2)
    shop.wait_for_runs()
    shop.check(repeats=2)
