"""An old Celery project: it knows nothing of durable functions, but shares broker and result backend with some."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from celery import Celery

app = Celery("old", broker=os.environ["BROKER"], backend=os.environ["BACKEND"])
app.conf.task_default_queue = "old"
app.conf.worker_prefetch_multiplier = 1


def _note(request: Any) -> None:
    with Path(os.environ["JOURNAL"]).open("a") as journal:
        journal.write(f"{request.task} {request.id}\n")


@app.task(name="old.double", bind=True)  # type: ignore[untyped-decorator]
def double(self: Any, number: int) -> int:
    _note(self.request)
    return number * 2


@app.task(name="old.total")  # type: ignore[untyped-decorator]
def total(numbers: list[int]) -> int:
    return sum(numbers)


@app.task(name="old.fail")  # type: ignore[untyped-decorator]
def fail(*_: object) -> None:
    raise LookupError("no such customer")


@app.task(name="old.flaky", bind=True, autoretry_for=(OSError,), retry_backoff=False, default_retry_delay=0)  # type: ignore[untyped-decorator]
def flaky(self: Any) -> int:
    if self.request.retries < 2:
        raise OSError("not yet")
    return int(self.request.retries)


@app.task(name="old.replaced", bind=True)  # type: ignore[untyped-decorator]
def replaced(self: Any, number: int) -> Any:
    return self.replace(double.s(number))


@app.task(name="old.endless", time_limit=1)  # type: ignore[untyped-decorator]
def endless() -> None:
    time.sleep(60)


@app.task(name="old.ignored", ignore_result=True)  # type: ignore[untyped-decorator]
def ignored(number: int) -> int:
    return number * 2


@app.task(name="old.pickled", serializer="json")  # type: ignore[untyped-decorator]
def pickled() -> Any:
    return {1, 2}


@app.task(name="old.gated", bind=True)  # type: ignore[untyped-decorator]
def gated(self: Any) -> str:
    _note(self.request)
    gate = Path(os.environ["GATE"])
    while gate.exists():
        time.sleep(0.01)
    return "through"
