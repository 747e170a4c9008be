"""An app whose functions take money in transactional steps. ``BROKER`` and ``INNGEST_DATABASE_URL`` say where."""

from __future__ import annotations

import os

import sqlalchemy as sa
from celery import Celery
from sqlalchemy.orm import Session

import inngest_celery as inngest
from tests.e2e.till import balance, payment

app = Celery("till", broker=os.environ["BROKER"])
client = inngest.Inngest(app_id="till", celery=app)


def pay(session: Session, run: str, step: str, amount: int) -> int:
    """Write a payment down, add it up in a row that all runs share, and give the payment's id."""
    number = session.execute(sa.insert(payment).values(run=run, step=step, amount=amount)).inserted_primary_key
    session.execute(sa.update(balance).values(amount=balance.c.amount + amount))
    assert number is not None
    return int(number[0])


@client.create_function(fn_id="sell", trigger=inngest.TriggerEvent(event="till/sold"))
async def sell(ctx: inngest.Context) -> list[int]:
    amount = int(ctx.event.data["amount"])  # type: ignore[call-overload]
    first = await ctx.step.transaction("deposit", pay, ctx.run_id, "deposit", amount)
    await ctx.step.sleep("a moment", 10)
    others = await ctx.group.parallel(
        (
            lambda: ctx.step.transaction("rest", pay, ctx.run_id, "rest", 2 * amount),
            lambda: ctx.step.transaction("tip", pay, ctx.run_id, "tip", 1),
        )
    )
    return [first, *others]
