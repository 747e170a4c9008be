"""Calls that a function puts off until its run has ended. Whatever is wrong with one, the function goes on."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from inngest_celery.drivers.http.ops import Op
from inngest_celery.store import defers
from inngest_celery.store.rows import Wait

logger = logging.getLogger(__name__)

LAZY = frozenset({"deferadd", "deferabort"})


def defers_of(ops: Sequence[Op], run_id: str, now: int) -> list[Wait]:
    """Give what is to be kept of the calls that are put off, and of those that are not to be made after all.

    Args:
        ops: all operations of an answer; others are passed over.
        run_id: whose they are.
        now: milliseconds.
    """
    return [row for op in ops if op.code in LAZY and (row := _row(op, run_id, now)) is not None]


def _row(op: Op, run_id: str, now: int) -> Wait | None:
    target, fn_slug, data = op.opts.get("target_hashed_id"), op.opts.get("fn_slug"), op.opts.get("input")
    if op.code == "deferabort" and isinstance(target, str):
        return defers.aborted(run_id, op.id, op.name, target, now)
    if op.code == "deferadd" and isinstance(fn_slug, str) and fn_slug and isinstance(data, dict):
        return defers.added(run_id, op.id, op.name, fn_slug, data, now)
    message = "%s of run %s is dropped: a call that is put off names a function (fn_slug), and its input is an object"
    logger.warning(message, op.name, run_id, extra={"action": "defer_dropped"})
    return None
