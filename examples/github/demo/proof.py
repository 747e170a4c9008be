"""What must be true when it is over, worked out from the database, the journal and the functions' triggers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import sqlalchemy as sa

import inngest_celery as inngest
from examples.github.api import state
from examples.github.app import client
from inngest_celery.engine import expressions
from inngest_celery.store import schema
from inngest_celery.store.database import Database
from inngest_celery.store.rows import RunStatus

_INVOKED, _TIMER = "inngest/function.invoked", "inngest/scheduled.timer"
_SENT = '{"data":{"ids":['
"""How the memo of a step begins that has sent events."""


@dataclass
class Proof:
    """The last table's numbers, and what is wrong.

    Attributes:
        webhooks: deliveries that were stored, repeated ones included.
        repeated: deliveries whose id had come before.
        other_events: sent by steps and by the engine.
        runs: how many, by status.
        steps: recorded outcomes.
        retries: failed attempts that another one followed.
        duplicates: steps with more than one outcome, and functions run twice for one event.
        lost: runs that should have been started or ended, and recorded steps whose body never ran.
        repeats: step bodies that ran without their result being recorded, because their worker died.
        crashes: worker processes that were killed in the middle of something.
        problems: a sentence for everything that should not be.
    """

    crashes: int
    webhooks: int = 0
    repeated: int = 0
    other_events: int = 0
    runs: dict[RunStatus, int] = field(default_factory=dict)
    steps: int = 0
    retries: int = 0
    duplicates: int = 0
    lost: int = 0
    repeats: int = 0
    problems: list[str] = field(default_factory=list)


def prove(database: Database, crashes: int, mornings: int) -> Proof:
    """Look at everything.

    Args:
        crashes: worker processes that were killed in the middle of something.
        mornings: how often the digest should have run.
    """
    proof = Proof(crashes)
    with database.autocommit() as connection:
        _events(connection, proof)
        _runs(connection, proof, mornings)
        _steps(connection, proof)
        _bodies(connection, proof)
        _leftovers(connection, proof)
    if proof.duplicates:
        proof.problems.append(f"{proof.duplicates} duplicates were recorded")
    return proof


def _events(connection: sa.Connection, proof: Proof) -> None:
    event = schema.event
    ids = list(connection.execute(sa.select(event.c.external_id).where(event.c.name.startswith("github/"))).scalars())
    proof.webhooks, proof.repeated = len(ids), len(ids) - len(set(ids))
    everything = connection.execute(sa.select(sa.func.count()).select_from(event)).scalar_one()
    proof.other_events = everything - proof.webhooks


def _runs(connection: sa.Connection, proof: Proof, mornings: int) -> None:
    run, event = schema.run, schema.event
    proof.runs = {RunStatus(row[0]): row[1] for row in _grouped(connection, run.c.status)}
    unfinished = sum(number for status, number in proof.runs.items() if not status.ended)
    if unfinished:
        proof.lost += unfinished
        proof.problems.append(f"{unfinished} runs have not ended")

    reasons = sa.select(run.c.function_id, event.c.name, event.c.external_id)
    rows = connection.execute(reasons.join_from(run, event, event.c.id == run.c.event_id))
    started = Counter((row.function_id, row.name, row.external_id) for row in rows)
    proof.duplicates += sum(number - 1 for number in started.values())
    expected = set(_expected(connection))
    for function_id, name, external_id in sorted(expected - started.keys()):
        proof.lost += 1
        proof.problems.append(f"{function_id} was not started by {name} {external_id}")
    for function_id, name, external_id in sorted(started.keys() - expected):
        proof.problems.append(f"{function_id} was started by {name} {external_id}, which does not trigger it")
    digests = sum(1 for _, name, _ in started if name == _TIMER)
    if digests != mornings:
        proof.problems.append(f"there were {mornings} mornings and {digests} digests")


def _expected(connection: sa.Connection) -> Iterator[tuple[str, str, str]]:
    """Give the function, event name and event id of every run that there should be."""
    for event in connection.execute(sa.select(schema.event)):
        data: dict[str, Any] = json.loads(event.data)
        if event.name == _INVOKED:
            yield data["_inngest"]["fn_id"], event.name, event.external_id
        if event.name == _TIMER:
            yield "github-digest", event.name, event.external_id
        for function in client.functions.values():
            for trigger in function.triggers:
                if isinstance(trigger, inngest.TriggerEvent) and _triggers(trigger, event.name, data):
                    yield function.id, event.name, event.external_id


def _triggers(trigger: inngest.TriggerEvent, name: str, data: dict[str, Any]) -> bool:
    if not fnmatchcase(name, trigger.event):
        return False
    return trigger.expression is None or expressions.compile(trigger.expression).matches({"event": {"data": data}})


def _steps(connection: sa.Connection, proof: Proof) -> None:
    step, attempt = schema.step, schema.attempt
    outcomes = [row[2] for row in _grouped(connection, step.c.run_id, step.c.id)]
    proof.steps = len(outcomes)
    proof.duplicates += sum(outcomes) - len(outcomes)
    retried = sa.select(sa.func.count()).select_from(attempt).where(attempt.c.retry_at.is_not(None))
    proof.retries = connection.execute(retried).scalar_one()
    gave_ids = connection.execute(sa.select(step.c.memo).where(step.c.memo.startswith(_SENT))).scalars()
    promised = {event_id for memo in gave_ids for event_id in json.loads(memo)["data"]["ids"]}
    stored = set(connection.execute(sa.select(schema.event.c.id)).scalars())
    if promised - stored:
        proof.lost += len(promised - stored)
        proof.problems.append(f"{len(promised - stored)} events that steps have sent are not there")


def _bodies(connection: sa.Connection, proof: Proof) -> None:
    """Compare, run by run, how often bodies ran with how many attempts are recorded: each writes one journal line."""
    step, attempt = schema.step, schema.attempt
    ran = Counter(line.partition(" ")[0] for line in (state() / "journal").read_text().splitlines())
    # A step that sends events has no body of the user's; it gives their ids.
    succeeded = sa.select(step.c.run_id).where(
        step.c.op == inngest.Opcode.STEP_RUN.value, ~step.c.failed, ~step.c.memo.startswith(_SENT)
    )
    failed = sa.select(attempt.c.run_id).where(attempt.c.step_id != "")
    recorded = Counter(connection.execute(sa.union_all(succeeded, failed)).scalars())
    for run_id in sorted(ran.keys() | recorded.keys()):
        difference = ran[run_id] - recorded[run_id]
        if difference < 0:
            proof.lost -= difference
            proof.problems.append(f"run {run_id} has {recorded[run_id]} attempts recorded, but {ran[run_id]} were made")
        proof.repeats += max(difference, 0)
    if proof.repeats > proof.crashes:
        proof.problems.append(
            f"{proof.repeats} bodies ran again, but only {proof.crashes} processes were killed at work"
        )


def _leftovers(connection: sa.Connection, proof: Proof) -> None:
    job, wait, lease = schema.job, schema.wait, schema.lease
    for what, table, condition in (
        ("jobs", job, job.c.kind != "cron"),
        ("leases of jobs", job, job.c.leased_by.is_not(None)),
        ("waits", wait, sa.true()),
        ("leases", lease, lease.c.until > 0),
    ):
        number = connection.execute(sa.select(sa.func.count()).select_from(table).where(condition)).scalar_one()
        if number:
            proof.problems.append(f"{number} {what} are left over")


def _grouped(connection: sa.Connection, *columns: sa.Column[Any]) -> list[Any]:
    return list(connection.execute(sa.select(*columns, sa.func.count()).group_by(*columns)))
