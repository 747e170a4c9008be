"""Run a function to its end, in memory."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inngest_celery.experimental.mocked.run import Result, Run
from inngest_celery.sdk.client import Inngest
from inngest_celery.sdk.context import Context, ContextSync
from inngest_celery.sdk.event import Event
from inngest_celery.sdk.function import Function
from inngest_celery.sdk.group import Group, GroupSync
from inngest_celery.sdk.step import Step, StepSync

if TYPE_CHECKING:
    from sqlalchemy.orm import Session as SqlSession


def trigger(
    fn: Function[Any],
    event: Event | list[Event],
    client: Inngest,
    *,
    session: SqlSession | None = None,
    step_stubs: Mapping[str, object] | None = None,
) -> Result:
    """Run a function until it ends: steps are run, sleeps are over at once, failed attempts follow each other at once.

    After each failed attempt the function starts from the top with the steps that are done already, as in a worker, so
    a function that is not deterministic shows it here.

    Args:
        fn: the function.
        event: what starts it; several are a batch.
        client: the client whose middleware, logger and serializer are used.
        session: what bodies of transactional steps get, each in a savepoint of it; it is yours to roll back.
        step_stubs: results of steps, by id, instead of running them. Waits, invocations and model calls need one;
            ``Timeout`` is a wait whose time is up.

    Raises:
        UnstubbedStepError: a step needs a stub and has none.
    """
    run = Run(fn, client, [event] if isinstance(event, Event) else list(event), step_stubs or {}, session)
    while (result := contextvars.copy_context().run(_attempt, run)) is None:
        pass
    return result


def _attempt(run: Run) -> Result | None:
    if run.function.is_handler_async:
        return asyncio.run(_attempt_async(run))
    step, group = StepSync(run.client, run), GroupSync(run.client, run)
    ctx = ContextSync(step=step, group=group, **run.facts())
    return run.middleware.run_sync(run.attempt(ctx))


async def _attempt_async(run: Run) -> Result | None:
    step, group = Step(run.client, run), Group(run.client, run)
    ctx = Context(step=step, group=group, **run.facts())
    return await run.middleware.run_async(run.attempt(ctx))
