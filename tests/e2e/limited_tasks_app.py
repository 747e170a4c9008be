"""Ordinary Celery tasks with limits, beside functions that share some of them.

Places are as for ``tests.e2e.limited_app``, and ``BACKEND``; bodies write down when they begin and end.
"""

from __future__ import annotations

import os
import time
import uuid
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

from celery import Celery, Task, shared_task

import inngest_celery as inngest
from tests.e2e import literals

literals.install()
app = Celery("tasks", broker=os.environ["BROKER"], backend=os.environ["BACKEND"])
app.conf.update(worker_prefetch_multiplier=4, accept_content=["json", literals.NAME])
client = inngest.Inngest(app_id="tasks", celery=app)
_JOURNAL = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
_GATE = Path(os.environ["GATE"])
_LIMITED = not os.environ.get("UNLIMITED")


def note(what: str, execution: str) -> None:
    os.write(_JOURNAL, f"{what} {execution} {time.time():.6f}\n".encode())


def work(name: str, number: object, seconds: float = 0.0) -> None:
    execution = f"{name} {number} {number} - {os.getpid()} {uuid.uuid4().hex}"
    note("begin", execution)
    time.sleep(seconds)
    while _GATE.exists():
        time.sleep(0.01)
    note("end", execution)


def limit(**limits: Any) -> Any:
    """As the client's; none at all where the test takes the limits out of the code."""
    return client.limit(**limits) if _LIMITED else lambda task: task


@limit(concurrency=[inngest.Concurrency(limit=1)])
@app.task(name="one")  # type: ignore[untyped-decorator]
def one(number: int, seconds: float = 0.0) -> int:
    work("one", number, seconds)
    return number * 2


@limit(concurrency=[inngest.Concurrency(limit=1)])
@app.task(name="late", acks_late=True)  # type: ignore[untyped-decorator]
def late(number: int, seconds: float = 0.0) -> int:
    work("late", number, seconds)
    return number * 2


class WithContext(Task):  # type: ignore[misc]
    """As web frameworks' guides make their tasks: with an application's context around each."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with nullcontext():
            return super().__call__(*args, **kwargs)


@limit(concurrency=[inngest.Concurrency(limit=1, key="args[0].customer"), inngest.Concurrency(limit=3)])
@app.task(name="keyed", base=WithContext)  # type: ignore[untyped-decorator]
def keyed(order: dict[str, Any], seconds: float = 0.0) -> None:
    work("keyed", order["customer"], seconds)


@limit(throttle=inngest.Throttle(limit=8, period=timedelta(days=1), burst=2))
@app.task(name="paced")  # type: ignore[untyped-decorator]
def paced(number: int) -> None:
    work("paced", number)


@limit(concurrency=[inngest.Concurrency(limit=2, key="args[0]")], shared="vendor")
@app.task(name="vendor")  # type: ignore[untyped-decorator]
def vendor(customer: str, seconds: float = 0.0) -> None:
    work("vendor", customer, seconds)


@client.create_function(
    fn_id="vendor",
    trigger=inngest.TriggerEvent(event="limited/vendor"),
    concurrency=[inngest.Concurrency(limit=2, key="event.data.key")],
    shared_limits="vendor",
)
def vendor_function(ctx: inngest.ContextSync) -> None:
    ctx.step.run("call", work, "vendor", ctx.event.data["key"], ctx.event.data["seconds"])


@limit(concurrency=[inngest.Concurrency(limit=1, key='"api"', scope="account")])
@app.task(name="api")  # type: ignore[untyped-decorator]
def api(number: int, seconds: float = 0.0) -> None:
    work("api", number, seconds)


@client.create_function(
    fn_id="api",
    trigger=inngest.TriggerEvent(event="limited/api"),
    concurrency=[inngest.Concurrency(limit=1, key='"api"', scope="account")],
)
def api_function(ctx: inngest.ContextSync) -> None:
    ctx.step.run("call", work, "api", "function", ctx.event.data["seconds"])


@limit(concurrency=[inngest.Concurrency(limit=1)])
@app.task(name="flaky", bind=True, max_retries=5)  # type: ignore[untyped-decorator]
def flaky(self: Any, number: int, failures: int) -> int:
    work("flaky", number)
    if self.request.retries < failures:
        raise self.retry(countdown=0)
    return number * 2


@limit(concurrency=[inngest.Concurrency(limit=1)])
@app.task(  # type: ignore[untyped-decorator]
    name="auto", bind=True, autoretry_for=(ZeroDivisionError,), retry_backoff=False, default_retry_delay=0
)
def auto(self: Any, number: int) -> int:
    work("auto", number)
    return number // self.request.retries


@limit(rate_limit=inngest.RateLimit(limit=1, period=timedelta(hours=1), key="kwargs.user"))
@app.task(name="rated")  # type: ignore[untyped-decorator]
def rated(*, user: str) -> str:
    return user


@limit(concurrency=[inngest.Concurrency(limit=1)])
@shared_task(name="everywhere")
def everywhere(number: int) -> int:
    work("everywhere", number)
    return number * 2


@limit(concurrency=[inngest.Concurrency(limit=1)])
@app.task(name="literal", serializer=literals.NAME)  # type: ignore[untyped-decorator]
def literal(value: object, seconds: float = 0.0) -> str:
    work("literal", type(value).__name__, seconds)
    return repr(value)


@limit(concurrency=[inngest.Concurrency(limit=1)])
@app.task(name="calls-itself", bind=True)  # type: ignore[untyped-decorator]
def calls_itself(self: Any, number: int) -> int:
    work("calls-itself", number)
    # Two ways to call a function, and none of them is a call through Celery.
    return number if number == 0 else int(self(number - 1)) + int(self.run(number - 1))


@app.task(name="total")  # type: ignore[untyped-decorator]
def total(numbers: list[int]) -> int:
    return sum(numbers)
