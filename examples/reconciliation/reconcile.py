"""One run that fans out, and one for each part of the statement. Events name files and lines; data stays in them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import inngest_celery as inngest
from examples.reconciliation import books, matching
from examples.reconciliation.app import client
from examples.reconciliation.matching import Totals


@client.create_function(fn_id="match-part", trigger=inngest.TriggerEvent(event="bank/part.due"))
def match_part(ctx: inngest.ContextSync) -> Totals:
    """Match some lines of a statement: in one step, or with ``each_line`` in a step for each of them.

    Reading and matching change nothing, so a step that a crash repeats does no harm; what it gives is recorded once.
    """
    data: Any = ctx.event.data
    directory = Path(data["directory"])
    ledger = directory / books.LEDGER

    def match(first: int, lines: int) -> Totals:
        part = books.read(directory / books.STATEMENT, first, lines)
        return matching.match(part, matching.ledger_of(ledger))

    first, lines = int(data["first"]), int(data["lines"])
    if not data.get("each_line"):
        return ctx.step.run("match", match, first, lines)
    return matching.joined(ctx.step.run(f"line {line}", match, line, 1) for line in range(first, first + lines))


@client.create_function(
    fn_id="reconcile",
    trigger=inngest.TriggerEvent(event="bank/statement.received"),
    # The statement that the bank delivers twice is reconciled once.
    idempotency="event.data.directory + string(event.data.part) + string(event.data.each_line)",
)
async def reconcile(ctx: inngest.Context) -> Totals:
    """Divide a statement into parts, have them matched side by side, and join what they give."""
    data: Any = ctx.event.data
    size, lines = int(data["part"]), int(data["lines"])

    async def part(first: int) -> Totals:
        wanted = {**data, "first": first, "lines": min(size, lines - first)}
        return await ctx.step.invoke(f"lines from {first}", function=match_part, data=wanted)

    totals = matching.joined(await asyncio.gather(*(part(first) for first in range(0, lines, size))))

    async def report() -> Totals:
        return matching.report(totals, matching.ledger_of(Path(data["directory"]) / books.LEDGER))

    return await ctx.step.run("report", report)
