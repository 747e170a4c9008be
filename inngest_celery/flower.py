"""For Flower: where a task's run stands in the dashboard, which shows it for as long as the database has it.

Flower itself keeps what it has seen in memory, and nothing from before it was started.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from celery import Celery, current_app

from inngest_celery.settings import settings_of

_RUN_ID = re.compile("[0-9A-HJKMNP-TV-Z]{26}")


def format_task(task: Any) -> Any:
    """Put the address of a task's run in the dashboard behind its keyword arguments, on Flower's pages.

    For Flower's ``flowerconfig.py``. It takes ``inngest_public_url``, of the app that Flower is given with ``-A`` or of
    the environment; without it tasks stay as they are. Tasks that are called in a step belong to its run, too. Flower
    shows text as text, so the address is one to copy. It escapes every link but its own.

    Args:
        task: a copy of Celery's record of a task.

    Returns:
        The same copy.

    Example:
        >>> # flowerconfig.py
        >>> from inngest_celery.flower import format_task  # noqa: F401
        >>> tasks_columns = "name,state,kwargs,retries,received,runtime,worker"

    Concept: the section on Flower in docs/operating.md.
    """
    address = _dashboard()
    run = task.root_id or task.uuid
    if address and _RUN_ID.fullmatch(run or ""):
        task.kwargs = f"{task.kwargs or ''} {address}/runs/{quote(run)}".strip()
    return task


def _dashboard() -> str:
    app: Celery = current_app._get_current_object()
    return (settings_of(app).public_url or "").rstrip("/")
