"""A shop: the orders app's database, broker and workers, and what must be true of it in the end whatever happened."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

import inngest_celery as inngest
from inngest_celery.store import schema
from inngest_celery.store.rows import RunStatus
from tests.databases import break_connections
from tests.e2e.web import Web
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess

APP = "tests.e2e.orders_app"
BODIES = ("reserve", "charge", "notify", "book", "archive")
STEPS = {*BODIES, "settle", "approval", "pack"}


class Shop(Web):
    """Sends orders like a web process that runs none of the functions, and looks into the database.

    Args:
        settings: of the workers, without their prefix; times are short unless they say otherwise.
    """

    def __init__(
        self,
        database_url: str,
        broker_url: str,
        directory: Path,
        start_worker: Callable[..., WorkerProcess],
        **settings: object,
    ) -> None:
        super().__init__(APP, database_url, broker_url, directory, start_worker, **settings)
        self._approved: set[str] = set()
        self._placed = 0

    def place(self, orders: int, name: str = "order/placed") -> None:
        """Send events for so many new orders."""
        numbers = self.numbers(orders)
        self.client.send_sync([inngest.Event(name=name, data={"order": number}) for number in numbers])

    def numbers(self, orders: int) -> range:
        """Give the numbers of so many new orders, which whoever asks places."""
        self._placed += orders
        return range(self._placed - orders, self._placed)

    def break_connections(self) -> None:
        """Have the database close everybody's connections to it, as when it restarts."""
        self.runtime.database.dispose()
        break_connections(self.environment["INNGEST_DATABASE_URL"])

    # What the database says

    def wait_for_runs(self, timeout: float = 120.0) -> None:
        """Wait until every order is done, and approve those that ask for it."""
        wait_until(self._all_done, timeout, self.describe, every=0.05)

    def wait_for_bodies(self, number: int) -> None:
        """Wait until so many different step bodies have begun."""

        def begun() -> bool:
            self.approve()
            return len(self.executions()) >= number

        wait_until(begun, 60.0, self.describe)

    def _all_done(self) -> bool:
        self.approve()
        ended = schema.run.c.status >= RunStatus.COMPLETED.value
        orders = sa.select(sa.func.count()).where(schema.run.c.function_id.like("orders-order%"), ended)
        return bool(self.ask(orders)[0][0] == self._placed) and self.count(schema.job) == 0

    def approve(self) -> None:
        """Approve the orders that ask for it."""
        run, wait, event = schema.run, schema.wait, schema.event
        query = (
            sa.select(run.c.id, event.c.data)
            .join_from(wait, run, wait.c.run_id == run.c.id)
            .join(event, event.c.id == run.c.event_id)
            .where(wait.c.event_name == "order/approved")
        )
        for run_id, data in self.ask(query):
            if run_id not in self._approved:
                self._approved.add(str(run_id))
                approval = {"order": json.loads(str(data))["order"], "by": "Ada"}
                self.client.send_sync(inngest.Event(name="order/approved", data=approval))

    def describe(self) -> str:
        """What there is, for the report of a failure."""
        lines = [f"{self._placed} orders to be done"]
        for table in (schema.run, schema.job, schema.wait):
            lines += [f"{table.name}: {dict(row._mapping)}" for row in self.ask(sa.select(table))[:10]]
        return "\n".join(lines)

    # What must be true

    def check(self, *, repeats: int) -> None:
        """Assert that nothing was lost and nothing recorded twice.

        Args:
            repeats: how many executions of a body may have been cut off and repeated.
        """
        runs = self.ask(sa.select(schema.run))
        assert {row.status for row in runs} == {RunStatus.COMPLETED.value}, self.describe()
        assert Counter(row.function_id for row in runs)["orders-pack"] == self._placed, (
            "an invocation was lost or doubled"
        )
        recorded: dict[str, dict[str, object]] = {}
        for row in self.ask(sa.select(schema.step)):
            assert row.name not in recorded.setdefault(row.run_id, {}), f"two outcomes of {row.name} of {row.run_id}"
            recorded[row.run_id][row.name] = json.loads(row.memo)
        executions = self.executions()
        for run in runs:
            self._check_run(run, recorded[run.id], executions)
        doubled = {what: len(tokens) for what, tokens in executions.items() if len(tokens) > 1}
        assert sum(count - 1 for count in doubled.values()) <= repeats, f"bodies ran too often: {doubled}"
        assert self.count(schema.job) == self.count(schema.wait) == 0
        assert {row.name for row in self.ask(sa.select(schema.lease))} <= {"sweep"}

    def executions(self) -> dict[tuple[str, str], list[str]]:
        """What the bodies gave, by run and step."""
        found: dict[tuple[str, str], list[str]] = {}
        for line in self.journal.read_text().splitlines():
            run_id, step, token = line.split()
            found.setdefault((run_id, step), []).append(token)
        return found

    def _check_run(self, run: Any, memos: dict[str, object], executions: dict[tuple[str, str], list[str]]) -> None:
        output = json.loads(run.output)
        if run.function_id == "orders-pack":
            assert memos == {"wrap": {"data": output}}
            return
        assert memos.keys() == STEPS
        for step in BODIES:
            # The function goes on with what is recorded, and that is what one execution of the body gave.
            assert memos[step] == {"data": output[step]}
            assert output[step] in executions[run.id, step]
        assert memos["pack"] == {"data": output["pack"]}
        assert output["approval"] == "Ada"
