"""The smallest Celery app: proves that a worker works."""

from __future__ import annotations

import os
from pathlib import Path

from celery import Celery

app = Celery("echo", broker=os.environ["BROKER"])


@app.task(name="echo")  # type: ignore[untyped-decorator]
def echo(path: str) -> None:
    Path(path).touch()
