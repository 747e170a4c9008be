"""The tasks that there were, and how they were put together."""

from __future__ import annotations

from celery import chain

from examples.existing_project.app import app


@app.task  # type: ignore[untyped-decorator]
def charge(order: int) -> str:
    return f"payment-{order}"


@app.task  # type: ignore[untyped-decorator]
def pack(payment: str) -> str:
    return payment.replace("payment", "parcel")


@app.task  # type: ignore[untyped-decorator]
def ask_opinion(parcel: str) -> str:
    return f"How do you like {parcel}?"


def fulfil_in_a_chain(order: int) -> None:
    """The job as a canvas.

    A worker that dies between two tasks ends it without a trace. The message that is three days ahead lies in the
    broker, and Redis delivers it again each hour, the visibility timeout. A cancelled order gets its mail all the same.
    """
    chain(charge.s(order), pack.s(), ask_opinion.s().set(countdown=3 * 86_400)).apply_async()
