"""The topics ``$run`` and ``$step`` on a run's id as channel: what becomes of the run.

Runs are looked up while somebody listens, so that workers do nothing for it. What steps and runs give is not told:
whoever may see that a run goes on may not see everything in it. Functions publish what is to be seen.
"""

from __future__ import annotations

import asyncio
import logging

from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import DBAPIError

from inngest_celery import ids
from inngest_celery.server.realtime.hub import Hub
from inngest_celery.server.realtime.listener import Listener
from inngest_celery.server.times import instant, instant_or_none
from inngest_celery.store import progress
from inngest_celery.store.database import DatabaseError
from inngest_celery.store.progress import RunProgress, StepProgress
from inngest_celery.store.rows import RunStatus
from inngest_celery.worker.realtime import compose
from inngest_celery.worker.realtime_tokens import Topic
from inngest_celery.worker.runtime import Runtime

logger = logging.getLogger(__name__)

RUN, STEP = "$run", "$step"
_EVERY_S = 0.5
# Of steps that were done before somebody came, only these last ones are told.
_AT_ONCE = 100


class Onlookers:
    """Tells those who listen to runs how they go on: first how the run stands, and then what changes.

    Args:
        runtime: whose runs.
        hub: who listens.
    """

    def __init__(self, runtime: Runtime, hub: Hub) -> None:
        self._runtime = runtime
        self._hub = hub

    async def tell(self) -> None:
        """Look and tell until cancelled."""
        works = True
        while True:
            listeners = await self._hub.listeners_to(RUN, STEP)
            try:
                await self._look(listeners)
                works = True
            except (DatabaseError, DBAPIError) as error:
                if works:
                    logger.warning("Runs cannot be looked up: %s", error, extra={"action": "realtime_blind"})
                works = False
            await asyncio.sleep(_EVERY_S)

    async def _look(self, listeners: set[Listener]) -> None:
        asked = {listener: frozenset(listener.topics) for listener in listeners}
        statuses: dict[str, None] = {}
        steps: dict[str, int] = {}
        for listener, topics in asked.items():
            for topic in topics:
                if topic.name == RUN:
                    statuses[topic.channel] = None
                elif topic.name == STEP:
                    seq = listener.told.get(topic, 0)
                    steps[topic.channel] = min(seq, steps.get(topic.channel, seq))
        runs, done = await run_in_threadpool(self._read, list(statuses), steps)
        for listener, topics in asked.items():
            # Meanwhile topics may have gone, and others have come: those were not looked at.
            self._tell(listener, topics & listener.topics, runs, done)

    def _read(self, run_ids: list[str], after: dict[str, int]) -> tuple[list[RunProgress], list[StepProgress]]:
        with self._runtime.database.autocommit() as connection:
            # In this order: all steps of a run that has ended are there, and are told before its end.
            runs = progress.of_runs(connection, run_ids)
            return runs, progress.of_steps(connection, after)

    def _tell(
        self, listener: Listener, topics: frozenset[Topic], runs: list[RunProgress], steps: list[StepProgress]
    ) -> None:
        # Of a run it is the status that was told last, and of its steps the number.
        told, now = listener.told, self._runtime.clock.now()
        newest = {step.run_id: step.seq for step in steps}
        for step in steps:
            topic = Topic(step.run_id, STEP)
            if topic in topics and step.seq > told.get(topic, 0):
                told[topic] = step.seq
                if step.seq <= newest[step.run_id] - _AT_ONCE:
                    continue
                listener.offer(compose("step", step.run_id, STEP, _step(step), now, run_id=step.run_id))
        for run in runs:
            topic = Topic(run.id, RUN)
            if topic in topics and run.status != told.get(topic):
                told[topic] = run.status
                fn_id = ids.function_uuid(run.function_id)
                listener.offer(compose("run", run.id, RUN, _run(run), now, run_id=run.id, fn_id=fn_id))


def _run(run: RunProgress) -> dict[str, object]:
    return {
        "function": run.function_id,
        "status": RunStatus(run.status).name.capitalize(),
        "created_at": instant(run.created_at),
        "started_at": instant_or_none(run.started_at),
        "ended_at": instant_or_none(run.ended_at),
    }


def _step(step: StepProgress) -> dict[str, object]:
    return {
        "name": step.name,
        "op": step.op,
        "status": "Failed" if step.failed else "Completed",
        "attempt": step.attempt,
        "started_at": instant(step.started_at),
        "ended_at": instant(step.ended_at),
    }
