"""What the guides from Inngest and from celery-director show."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import inngest_celery as inngest
from inngest_celery.store.rows import RunStatus
from inngest_celery.testing import Inline
from tests.docs.blocks import sections


@contextmanager
def director() -> Iterator[tuple[dict[str, Any], Inline]]:
    """Gives the names of all blocks of the guide, and what runs its functions."""
    names: dict[str, Any] = {"__name__": "proj.workflows"}
    for heading, blocks in sections("from-celery-director.md").items():
        for block in blocks:
            exec(compile(block, f"from-celery-director.md, {heading}", "exec"), names)  # noqa: S102
    inline = Inline(names["app"])
    yield names, inline
    inline.close()


def output(inline: Inline, event: str, **data: Any) -> Any:
    [run] = inline.send(inngest.Event(name=event, data=data))
    return inline.runs.get(run.id).output


def test_directors_chain_has_its_payload_checked() -> None:
    with director() as (_, inline):
        assert output(inline, "product/order", user=7, product=1) == "to 7: your order 701 has been received"
        assert "valid integer" in output(inline, "product/order", user="john", product=1)["message"]


def test_directors_group_joins() -> None:
    with director() as (_, inline):
        assert output(inline, "example/etl") == "2 of 3 rows"


def test_directors_periodic_workflow_and_its_hooks() -> None:
    with director() as (names, inline):
        inline.advance(timedelta(hours=9))
        assert names["said"] == ["updated all users"] * 3
        assert output(inline, "users/update.cache", user="ada") == "updated ada"
        output(inline, "users/update.cache", user="nobody")
        assert names["said"][3:] == ["updated ada", "failed: there is no such user"]


def test_directors_workflow_that_stays_data() -> None:
    with director() as (_, inline):
        assert output(inline, "workflow/run", tasks=["A", "B", "C"]) == "abc"


def test_moved_from_inngest() -> None:
    names: dict[str, Any] = {"__name__": "shop"}
    for heading, blocks in sections("from-inngest.md").items():
        for block in blocks:
            # It asserts itself.
            exec(compile(block, f"from-inngest.md, {heading}", "exec"), names)  # noqa: S102
    inline: Inline = names["inline"]
    [run] = inline.send(inngest.Event(name="shop/order.placed", data={"order": 8, "customer": "ada"}))
    inline.send(inngest.Event(name="shop/order.cancelled", data={"order": 8}))
    assert inline.runs.get(run.id).status is RunStatus.CANCELLED
    inline.close()
    old, new = object(), object()
    shares = [names["client_for"](f"customer-{number}", old=old, new=new, percent=50) for number in range(1000)]
    assert 0 < shares.count(new) < 1000
    assert names["client_for"]("ada", old=old, new=new, percent=0) is old
    assert names["client_for"]("ada", old=old, new=new, percent=100) is new
