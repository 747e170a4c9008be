"""Steps whose body runs in the transaction that records its outcome: both are there or neither is."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlalchemy.exc import DBAPIError

from inngest_celery.crash import crash_point
from inngest_celery.engine import limits, waiting
from inngest_celery.engine.report import Outcome
from inngest_celery.sdk.session import InTransaction, OpenTransaction
from inngest_celery.store import checkpoint, conflicts, subjects
from inngest_celery.store.bodies import CommitUnanswered, conflict_in, open_transaction
from inngest_celery.store.changes import Applied, Changes
from inngest_celery.store.settling import Fate, fate_of
from inngest_celery.worker.runtime import Runtime

logger = logging.getLogger(__name__)

_LOOKS = 6
_LOOK_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the transaction has written, or was refused."""

    changes: Changes
    applied: Applied


@dataclass(frozen=True, slots=True)
class TransactionalStep:
    """One attempt at such a step.

    Attributes:
        inside: its body and how its transaction is opened.
        execute: runs the body once, in the transaction that is open then.
        failed: gives the outcome of an attempt that an exception has ended.
        record: says what is to be written of an outcome.
    """

    runtime: Runtime
    inside: InTransaction
    execute: Callable[[], Outcome]
    failed: Callable[[BaseException], Outcome]
    record: Callable[[Outcome], Changes]

    def perform(self) -> tuple[Outcome, Recorded | None]:
        """Run the body and record its outcome; again in a new transaction where that one came to nothing.

        Returns:
            The outcome, and what was recorded of it: nothing, if the attempt has failed.
        """
        for attempt in range(1, conflicts.TIMES):
            outcome, recorded, error = self._once()
            if recorded is not None or error is None:
                return outcome, recorded
            logger.info(
                "The transaction of step %s came to nothing (%s); its body runs again.",
                outcome.name,
                error,
                extra={"action": "transaction_again", "step": outcome.key},
            )
            conflicts.pause(attempt)
        return self._once()[:2]

    def _once(self) -> tuple[Outcome, Recorded | None, BaseException | None]:
        """Try it in one transaction. The last thing given is why another one may succeed."""
        changes: Changes | None = None
        outcome: Outcome | None = None
        try:
            with self._opened() as transaction:
                self.inside.current = transaction
                outcome = self.execute()
                if outcome.failure is not None or limits.too_large(outcome):
                    return outcome, None, outcome.error if conflict_in(outcome.error) else None
                changes = self.record(outcome)
                subjects.lend(transaction.connection, self.runtime.database.subjects)
                applied = checkpoint.apply_on(transaction.connection, changes, waiting.matches)
                if applied.refused:
                    return outcome, Recorded(changes, applied), None
                crash_point("transaction_before_commit")
                transaction.commit()
        except CommitUnanswered as error:
            assert outcome is not None
            assert changes is not None
            return self._settle(outcome, changes, error)
        except Exception as error:  # noqa: BLE001  whatever keeps a transaction from its commit has failed the attempt
            again = conflict_in(error) or (isinstance(error, DBAPIError) and error.connection_invalidated)
            return self.failed(error), None, error if again else None
        finally:
            self.inside.current = None
        crash_point("transaction_after_commit")
        return outcome, Recorded(changes, applied), None

    def _opened(self) -> AbstractContextManager[OpenTransaction]:
        if self.inside.opener is not None:
            return self.inside.opener.open(self.runtime.app)
        return open_transaction(self.runtime.database, self.runtime.settings.transaction_idle)

    def _settle(
        self, outcome: Outcome, changes: Changes, error: CommitUnanswered
    ) -> tuple[Outcome, Recorded | None, BaseException | None]:
        """Find out what became of a commit that was not answered."""
        fate = self._look(changes)
        logger.warning(
            "The commit of step %s was not answered (%s). It is %s.",
            outcome.name,
            error.__cause__,
            fate.value,
            extra={"action": "commit_unanswered", "run_id": changes.run_id, "step": outcome.key, "fate": fate.name},
        )
        if fate is Fate.COMMITTED:
            return outcome, Recorded(changes, Applied(jobs=changes.jobs, costs=changes.costs)), None
        if fate is Fate.CARRIED_ON:
            # Another worker has gone on with the run since.
            return outcome, Recorded(changes, Applied(costs=changes.costs)), None
        if fate is Fate.LOST:
            return outcome, Recorded(changes, Applied(refused=True)), None
        return self.failed(error.__cause__ or error), None, error

    def _look(self, changes: Changes) -> Fate:
        """Ask the database, which may be just starting again."""
        for number in range(_LOOKS):
            try:
                return fate_of(self.runtime.database, changes)
            except DBAPIError:
                time.sleep(_LOOK_PAUSE_S * 2**number)
        return fate_of(self.runtime.database, changes)
