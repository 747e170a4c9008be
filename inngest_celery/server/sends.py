"""What was sent with which key, for the audit log: counted in memory, an entry for each key, event name and minute.

A request that sends events costs no statement for it. A process that is killed loses what it has counted and not yet
written: that of the minute it is in, and of the seconds until the next look. One that is ended writes all of it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Final

from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import SQLAlchemyError

from inngest_celery.engine.durations import instant
from inngest_celery.server.access.senders import Sender
from inngest_celery.store.database import DatabaseError
from inngest_celery.worker import auditing
from inngest_celery.worker.runtime import Runtime

logger = logging.getLogger(__name__)

MOST: Final = 1_000
_MINUTE_MS: Final = 60_000
_LOOK_S: Final = 5.0
# A count of more names than are kept apart, whatever minute it was.
_OTHERS = ""

_Counted = tuple[int, Sender, str]


class Sends:
    """Counts events by key and name. All requests of a server share it, and it keeps no more than :data:`MOST` counts,
    and one more for each key, whose other events are counted together.

    Args:
        runtime: whose log.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._lock = threading.Lock()
        self._counts: Counter[_Counted] = Counter()

    def count(self, sender: Sender, names: Sequence[str]) -> None:
        """Note that events were stored. Those of a development server that asks for no key are not counted."""
        if not sender.id:
            return
        minute = self._runtime.clock.now() // _MINUTE_MS
        with self._lock:
            for name in names:
                counted = (minute, sender, name)
                if counted not in self._counts and len(self._counts) >= MOST:
                    counted = (0, sender, _OTHERS)
                self._counts[counted] += 1

    def flush(self, *, everything: bool = False) -> int:
        """Write what was counted in minutes that are over; tell how many entries that made.

        Args:
            everything: that of the current minute, too.
        """
        minute = self._runtime.clock.now() // _MINUTE_MS
        with self._lock:
            over = [counted for counted in self._counts if everything or counted[0] < minute]
            taken = {counted: self._counts.pop(counted) for counted in sorted(over, key=_order)}
        written = 0
        try:
            for counted in list(taken):
                self._write(counted, taken[counted])
                del taken[counted]
                written += 1
        except (SQLAlchemyError, DatabaseError) as error:
            logger.error("Counts of sent events are not in the log yet: %s", error, extra={"action": "sends_unwritten"})
            with self._lock:
                self._counts.update(taken)
        return written

    async def keep_flushing(self) -> None:
        """Write what was counted, again and again until it is cancelled, and then all that is left.

        With it, which signing keys were used: that is noted in memory, too.
        """
        keys = self._runtime.signing_keys
        try:
            while True:
                await asyncio.sleep(_LOOK_S)
                await run_in_threadpool(self.flush)
                await run_in_threadpool(keys.write)
        finally:
            await asyncio.shield(run_in_threadpool(self.flush, everything=True))
            await asyncio.shield(run_in_threadpool(keys.write))

    def _write(self, counted: _Counted, count: int) -> None:
        minute, sender, name = counted
        details: dict[str, object] = {"key": sender.id, "count": count}
        details |= {"minute": instant(minute * _MINUTE_MS)} if minute else {"names": "others"}
        actor = auditing.Actor(sender.name, sender.kind, "nobody")
        auditing.begin(self._runtime, actor, "event.send", name, details, outcome=auditing.DONE)


def _order(counted: _Counted) -> tuple[int, str, str]:
    minute, sender, name = counted
    return minute, sender.id, name
