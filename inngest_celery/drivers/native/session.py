"""One live execution of a function: what ``ctx.step`` talks to on one side, and the worker on the other."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from inngest_celery.clock import Clock
from inngest_celery.drivers.native import gateway
from inngest_celery.drivers.native.costs import cost_of
from inngest_celery.drivers.native.exits import ends_worker, shown
from inngest_celery.drivers.native.failures import failure_of
from inngest_celery.drivers.native.fibers import AsyncFiber, Resolution, SyncFiber
from inngest_celery.drivers.native.hooks import Hooks
from inngest_celery.drivers.native.loop import loop_thread
from inngest_celery.drivers.native.numbering import StepNumbers
from inngest_celery.drivers.native.soft_limits import awaited, interrupted_after
from inngest_celery.engine import prompts, time_limits
from inngest_celery.engine.limits import size_of
from inngest_celery.engine.report import Outcome, Plan, Report
from inngest_celery.engine.retries import is_final
from inngest_celery.opcodes import Opcode
from inngest_celery.sdk.context import Context, ContextSync
from inngest_celery.sdk.errors import (
    SecretError,
    StepNestedError,
    SuspensionSwallowedError,
)
from inngest_celery.sdk.event import Event
from inngest_celery.sdk.function import Function
from inngest_celery.sdk.group import Group, GroupSync
from inngest_celery.sdk.jsonable import encode_output
from inngest_celery.sdk.memos import Output, StepMemos
from inngest_celery.sdk.middleware import TransformOutputResult, TransformOutputStepInfo
from inngest_celery.sdk.secret import read_json
from inngest_celery.sdk.session import InTransaction, StepCall
from inngest_celery.sdk.step import Step, StepSync
from inngest_celery.sdk.types import EmptySentinel
from inngest_celery.store import rows, sent_by
from inngest_celery.store.sent_by import SentBy

_inside_step: contextvars.ContextVar[str | None] = contextvars.ContextVar("inngest_inside_step", default=None)


@dataclass(slots=True)
class Opening:
    """What an execution starts from.

    Attributes:
        run_id: the run.
        events: what triggered it; one, or a batch.
        memos: JSON text of every recorded outcome, by step key.
        attempt: of the job at hand, zero-based.
        max_attempts: how often a step, or the function's own code, may be tried.
        request_id: names this execution in logs.
        job_id: names the job at hand.
    """

    run_id: str
    events: Sequence[Event]
    memos: Mapping[str, str]
    attempt: int
    max_attempts: int
    request_id: str
    job_id: str


@dataclass(slots=True)
class _Reached:
    """A step that the function has come to and that has no outcome yet."""

    call: StepCall
    context: contextvars.Context
    put_forward: bool = field(default=False)


class NativeSession:
    """Runs a Python function up to its next steps, runs a step's body, goes on with the result.

    Args:
        function: the function.
        opening: the state to start from.
        clock: tells when things began and ended.
    """

    def __init__(self, function: Function[Any], opening: Opening, clock: Clock) -> None:
        self.run_id = opening.run_id
        self.raised: BaseException | None = None
        self._function = function
        self._clock = clock
        self._max_attempts = opening.max_attempts
        self._event = opening.events[0]
        self._hooks = Hooks(function)
        self.middleware = self._hooks.chain
        self._memos = StepMemos.from_raw({key: read_json(memo) for key, memo in opening.memos.items()})
        self._known = set(opening.memos)
        self._size = sum(size_of(memo) for memo in opening.memos.values())
        self._open: dict[str, _Reached] = {}
        self._numbers = StepNumbers()
        self._parallel = False
        self._ended: Report | None = None
        self._fiber: AsyncFiber | SyncFiber
        context = contextvars.copy_context()
        # A step may apply another function, which is not inside of that step.
        context.run(_inside_step.set, None)
        if function.is_handler_async:
            self.context: Context | ContextSync = self._make_context(Context, Group, Step, opening)
            self._fiber = AsyncFiber(lambda: function.start(self.context), context, opening.memos)
        else:
            self.context = self._make_context(ContextSync, GroupSync, StepSync, opening)
            self._fiber = SyncFiber(lambda: function.start(self.context), context)

    # What Step and Group call

    async def reach(self, call: StepCall) -> object:
        key = self._identify(call)
        memo = self._memos.pop(key)
        assert isinstance(self._fiber, AsyncFiber)
        if not isinstance(memo, EmptySentinel):
            await self._fiber.take_turn(key)
            if self._memos.size == 0 and not self._hooks.live:
                await self.middleware.run_async(self._hooks.going_live())
            return _read(memo)
        self._note(key, call)
        try:
            return await self._fiber.suspend(key)
        except asyncio.CancelledError:
            # The function itself gave the step up.
            self._open.pop(key, None)
            raise

    def reach_sync(self, call: StepCall) -> object:
        key = self._identify(call)
        memo = self._memos.pop(key)
        if not isinstance(memo, EmptySentinel):
            if self._memos.size == 0 and not self._hooks.live:
                self.middleware.run_sync(self._hooks.going_live())
            return _read(memo)
        self._note(key, call)
        assert isinstance(self._fiber, SyncFiber)
        return self._fiber.suspend(key)

    async def parallel(self, callables: Sequence[Callable[[], Awaitable[object]]], *, race: bool) -> tuple[object, ...]:
        assert isinstance(self._fiber, AsyncFiber)
        return await self._fiber.parallel(callables)

    def parallel_sync(self, callables: Sequence[Callable[[], object]], *, race: bool) -> tuple[object, ...]:
        assert isinstance(self._fiber, SyncFiber)
        return self._fiber.parallel(callables)

    # What the worker calls

    @property
    def stays_live(self) -> bool:
        """Whether a result may be handed to the live function; else it has to be replayed to see it.

        Middleware that changes inputs or outputs sees a memo only at the beginning of an execution.
        """
        return not self._hooks.change_values

    @property
    def only_step(self) -> str | None:
        """The one step body that the function waits for, if it waits for nothing else."""
        if len(self._open) != 1:
            return None
        key, reached = next(iter(self._open.items()))
        inline = reached.call.body is not None and not reached.call.limits
        return key if inline and not reached.put_forward else None

    def has_reached(self, key: str) -> bool:
        """Tell whether the function waits for this step."""
        return key in self._open

    def name_of(self, key: str) -> str:
        """Give an open step's id as the author wrote it."""
        return self._open[key].call.step_id

    def transaction_of(self, key: str) -> InTransaction | None:
        """Tell whether an open step's body runs in the transaction that records its outcome."""
        return self._open[key].call.transaction

    def start(self) -> None:
        """Run the function from the top until it can go no further."""
        try:
            self._hooks.beginning(self.context, self._memos)
            if self._memos.size == 0:
                self._hooks.go_live()
        except Exception as error:  # noqa: BLE001  a hook's error is the function's error
            self._ended = Report(failure=failure_of(error))
            return
        self._fiber.settle({})

    def execute(
        self, key: str, attempt: int, task_id: str | None, enter: Callable[[], object] | None = None
    ) -> Outcome:
        """Run an open step's body once.

        Args:
            key: the step.
            attempt: zero-based.
            task_id: the Celery task that this happens in.
            enter: prepares the context that the body runs in.

        Returns:
            The outcome. Its memo is missing when the attempt failed and may be repeated.
        """
        reached = self._open[key]
        call = reached.call
        started_at = self._clock.now()
        self.context.attempt = attempt
        try:
            asked = self._asked(call)
            if enter is not None:
                reached.context.run(enter)
            memo, cost = self._run_body(reached)
        except BaseException as error:  # whatever the user's code raises is the step's outcome
            if ends_worker(error):
                raise
            return self.failed(key, attempt, task_id, error, started_at)
        return Outcome(
            key=key,
            name=call.step_id,
            op=call.op,
            attempt=attempt,
            memo=memo,
            started_at=started_at,
            ended_at=self._clock.now(),
            task_id=task_id,
            emits=[self._emitted(event_id, event) for event_id, event in call.emits],
            cost=cost,
            asked=asked,
        )

    def failed(
        self, key: str, attempt: int, task_id: str | None, error: BaseException, started_at: int | None = None
    ) -> Outcome:
        """Give the outcome of an attempt at an open step that an exception has ended; arguments as of :meth:`execute`.

        Args:
            started_at: when it began, in milliseconds; now, if left out.
        """
        call, failure, now = self._open[key].call, failure_of(error), self._clock.now()
        # Without a key for what is secret in it, nobody was asked.
        asked = None if isinstance(error, SecretError) else self._asked(call)
        final = is_final(failure, attempt, self._max_attempts)
        return Outcome(
            key=key,
            name=call.step_id,
            op=call.op,
            attempt=attempt,
            memo=failure.to_memo() if final else None,
            failure=failure,
            error=shown(error),
            started_at=now if started_at is None else started_at,
            ended_at=now,
            task_id=task_id,
            emits=[self._emitted(event_id, event) for event_id, event in call.emits],
            asked=asked,
        )

    def go_on(self, memos: Mapping[str, str]) -> None:
        """Hand recorded outcomes to the function and run it until it can go no further."""
        resolutions: dict[str, Resolution] = {}
        for key, memo in memos.items():
            self._known.add(key)
            self._size += size_of(memo)
            output = next(StepMemos.from_raw({key: read_json(memo)}).values())
            if self._open.pop(key, None) is None:
                continue
            error = output.error.to_step_error() if output.error else None
            resolutions[key] = Resolution(output.data, error)
        self.context.attempt = 0
        try:
            if self._memos.size == 0:
                self._hooks.go_live()
        except Exception as error:  # noqa: BLE001  a hook's error is the function's error
            self._ended = Report(failure=failure_of(error))
            return
        self._fiber.settle(resolutions)

    def missing(self, memos: Mapping[str, str]) -> dict[str, str]:
        """Of these outcomes, give those that the function has not seen."""
        return {key: memo for key, memo in memos.items() if key not in self._known}

    def report(self, outcomes: list[Outcome]) -> Report:
        """Say how far the function has come.

        Args:
            outcomes: of the step bodies that were run since the last report.
        """
        if self._fiber.done and self._ended is None:
            self._ended = self._end()
        report = self._ended or Report()
        report.outcomes = outcomes
        report.known, report.size, report.parallel = len(self._known), self._size, self._parallel
        try:
            if not report.finished:
                self._put_forward(report)
            self._hooks.before_response()
        except Exception as error:  # noqa: BLE001  a hook's error is the function's error
            return Report(failure=failure_of(error), known=report.known, parallel=report.parallel)
        return report

    def standing_with(self, outcomes: list[Outcome]) -> Report:
        """Say how far the function will have come once it has seen outcomes that are recorded before."""
        known = self._known | {outcome.key for outcome in outcomes}
        return Report(outcomes=outcomes, known=len(known), parallel=self._parallel)

    def close(self) -> None:
        """Unwind the function.

        Raises:
            SuspensionSwallowedError: it caught the suspension.
        """
        name = next((reached.call.step_id for reached in self._open.values()), "")
        if not self._fiber.close():
            raise SuspensionSwallowedError(name)

    # Inside

    def _make_context(self, context: Any, group: Any, step: Any, opening: Opening) -> Any:
        return context(
            attempt=opening.attempt,
            event=opening.events[0],
            events=list(opening.events),
            group=group(self._function.client, self),
            job_id=opening.job_id,
            logger=self._hooks.logger,
            request_id=opening.request_id,
            run_id=opening.run_id,
            step=step(self._function.client, self),
            max_attempts=opening.max_attempts,
        )

    def _identify(self, call: StepCall) -> str:
        parent = _inside_step.get()
        if parent is not None:
            raise StepNestedError(call.step_id, parent)
        call.hashed_id = self._numbers.key_of(call.step_id)
        return call.hashed_id

    def _note(self, key: str, call: StepCall) -> None:
        if self._function.stubs is not None:
            call = self._function.stubs.stand_in(call)
        if call.op is Opcode.AI_GATEWAY:
            call.body = partial(gateway.infer, call.opts or {})
        if call.op is Opcode.STEP_RUN:
            call.limits = call.limits.filled(self._function.time_limits)
        self._open[key] = _Reached(call, contextvars.copy_context())
        self._parallel = self._parallel or len(self._open) > 1

    def _put_forward(self, report: Report) -> None:
        """Add the steps that are new to the engine."""
        tried = {outcome.key for outcome in report.outcomes}
        for key, reached in self._open.items():
            if not reached.put_forward and key not in tried:
                call = reached.call
                if call.op is Opcode.INVOKE:
                    self._hooks.step_leaves(call)
                op = Opcode.STEP_PLANNED if call.body is not None else call.op
                report.plans.append(Plan(key, call.step_id, op, call.opts or {}, time_limits.kept(call.limits)))
                reached.put_forward = True
        report.blocked = bool(self._open)

    def _asked(self, call: StepCall) -> str | None:
        if call.op is not Opcode.AI_GATEWAY:
            return None
        # Middleware that changes values may encrypt them, and then nobody else is to read the prompt.
        return prompts.of_request(call.opts or {}, keeps_body=self.stays_live)

    def _run_body(self, reached: _Reached) -> tuple[str, float | None]:
        """Run hooks and body; give the memo, and what the step cost."""
        call, context = reached.call, reached.context
        budget, cost = self._function.opts.budget, None
        assert call.body is not None
        self._hooks.go_live()
        context.run(_inside_step.set, call.step_id)
        result = TransformOutputResult(None, EmptySentinel, TransformOutputStepInfo(call.step_id, call.op, call.opts))
        try:
            with interrupted_after(call.limits.soft):
                result.output = context.run(call.body)
            if isinstance(result.output, Awaitable):
                result.output = loop_thread().run(awaited(result.output, call.limits.soft), context)
            if budget is not None:
                cost = context.run(cost_of, call, result.output, budget, self._event)
        except Exception as error:  # noqa: BLE001  shown to the middleware, then raised again
            result.error, result.output = error, None
        finally:
            context.run(_inside_step.set, None)
        self._hooks.step_ended(result)
        if result.error is not None:
            raise result.error
        return f'{{"data":{encode_output(result.output, call.step_id)}}}', cost

    def _end(self) -> Report:
        """Read what the function returned or raised."""
        ended = self._fiber.result
        error = ended.error
        self.raised = None if error is None else shown(error)
        if error is not None and not isinstance(error, Exception):
            return Report(failure=failure_of(error))
        result = TransformOutputResult(error, EmptySentinel, None)
        try:
            if error is None:
                result.output = self._serialized(ended.value)
            self._hooks.function_ended(result)
            if result.error is not None:
                return Report(failure=failure_of(result.error))
            return Report(output=encode_output(result.output))
        except Exception as problem:  # noqa: BLE001  a hook's or serializer's error is the function's error
            return Report(failure=failure_of(problem))

    def _serialized(self, value: object) -> object:
        serializer, output_type = self._function.client.serializer, self._function.output_type
        if serializer is None or output_type is EmptySentinel:
            return value
        return serializer.serialize(value, output_type)

    def _emitted(self, event_id: str, event: Event) -> rows.Event:
        now = self._clock.now()
        data = encode_output(dict(event.data))
        by = SentBy(kind="run", name=self._function.id, id=self.run_id)
        extra = sent_by.kept_with(None, by)
        return rows.Event(event_id, event.name, event.id or event_id, data, event.ts or now, now, extra)


def _read(memo: Output) -> object:
    if memo.error is not None:
        raise memo.error.to_step_error()
    return memo.data
