"""Old Celery code whose calls move to durable functions."""

from __future__ import annotations

import os

from celery import Celery, chain

import inngest_celery as inngest

app = Celery("moving", broker=os.environ["BROKER"], backend=os.environ["BROKER"])
app.conf.inngest_database_url = os.environ["DATABASE"]
app.conf.inngest_hint_timeout = 2
app.conf.inngest_sweep_interval = 0.2

client = inngest.Inngest(app_id="moving", celery=app)
CALLED = inngest.TriggerEvent(event="moving/never", expression="false")


def charge(customer: str, amount: int) -> str:
    raise AssertionError("the shadow has an effect")


@client.create_function(fn_id="bill", trigger=CALLED, retries=0)
def bill(ctx: inngest.ContextSync) -> dict[str, object]:
    customer, amount = str(ctx.event.data["customer"]), ctx.event.data["amount"]
    rate = ctx.step.run("rate", lambda: 2)
    ctx.step.sleep("a day", 86_400_000 if ctx.event.name == "inngest/shadow.begun" else 20)
    total = amount * rate  # type: ignore[operator]
    # Not in the shadow: it gives what it would charge.
    receipt = ctx.step.run("charge", charge if os.environ.get("STRICT") else lambda *_: "charged", customer, total)
    ctx.step.send_event("tell", inngest.Event(name="moving/billed"))
    return {"customer": customer, "total": total, "receipt": receipt}


@client.cutover(bill, stubs={"charge": lambda customer, total: "charged"}, execute=["rate"], key="kwargs.customer")
@app.task(name="moving.bill", bind=True, max_retries=2)  # type: ignore[untyped-decorator]
def old_bill(self: object, amount: int, customer: str = "ada") -> dict[str, object]:
    if customer == "unlucky" and self.request.retries == 0:  # type: ignore[attr-defined]
        raise self.retry(countdown=0)  # type: ignore[attr-defined]
    if customer == "broke":
        raise ValueError("no money")
    factor = 3 if customer == "odd" else 2
    return {"customer": customer, "total": amount * factor, "receipt": "charged"}


@client.create_function(fn_id="add", trigger=CALLED, retries=0)
def add(ctx: inngest.ContextSync) -> object:
    return ctx.step.run("sum", lambda: ctx.event.data["number"] + 1)  # type: ignore[operator]


@app.task(name="moving.plus")  # type: ignore[untyped-decorator]
def plus(number: int, by: int) -> int:
    return number + by


@client.cutover(add, execute=["sum"])
def old_add(number: int) -> object:
    return chain(plus.s(number, 3), plus.s(-2))


@client.create_function(fn_id="odd", trigger=CALLED, retries=0)
def new_odd(ctx: inngest.ContextSync) -> str:
    return "done"


@client.cutover(new_odd)
@app.task(name="moving.odd")  # type: ignore[untyped-decorator]
def odd(amount: object) -> str:
    return "done"
