"""A run in memory: a session that carries out steps on the spot and remembers their results."""

from __future__ import annotations

import asyncio
import enum
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from inngest_celery import ids
from inngest_celery.experimental.mocked.client import NO_ID
from inngest_celery.opcodes import Opcode
from inngest_celery.sdk.client import Inngest
from inngest_celery.sdk.context import Context, ContextSync, FilteredLogger
from inngest_celery.sdk.effects import Work, run_async, run_sync
from inngest_celery.sdk.errors import (
    Error,
    NonRetriableError,
    StepError,
    StepIdCollisionError,
    StepNestedError,
    Suspended,
    SuspensionSwallowedError,
)
from inngest_celery.sdk.event import Event
from inngest_celery.sdk.function import Function
from inngest_celery.sdk.jsonable import encode_output
from inngest_celery.sdk.memos import MemoizedError, Output, StepMemos
from inngest_celery.sdk.middleware import MiddlewareChain, TransformOutputResult, TransformOutputStepInfo
from inngest_celery.sdk.session import Opener, StepCall
from inngest_celery.sdk.types import EmptySentinel
from inngest_celery.worker.canvases import Canvas, Done

if TYPE_CHECKING:
    from sqlalchemy.orm import Session as SqlSession

DEFAULT_RETRIES = 4
Timeout = object()
"""As a stub: the time of the wait is up."""

_parent: ContextVar[str | None] = ContextVar("parent", default=None)


class Status(enum.Enum):
    """How a run ended."""

    COMPLETED = "Completed"
    FAILED = "Failed"


class UnstubbedStepError(Exception):
    """A step that cannot be carried out in memory has no stub."""

    def __init__(self, step_id: str) -> None:
        super().__init__(
            f"step {step_id} is not stubbed; give trigger(..., step_stubs={{{step_id!r}: result}}), or a transactional "
            "step a session to run in: trigger(..., session=session)"
        )


@dataclass(frozen=True)
class Result:
    """What a run ended with. ``error`` is the exception that was raised last, in a step or in the function."""

    error: Exception | None
    output: object
    status: Status


class _Rehearsal:
    """A transaction that is part of a test's own: a body that raises leaves nothing in it."""

    connection = None

    def __init__(self, session: SqlSession | None, opener: Opener | None) -> None:
        self._session = session
        self._opener = opener

    def call(self, handler: Callable[..., object], args: Sequence[object]) -> object:
        if self._opener is not None:
            with self._opener.rehearse() as given:
                return handler(given, *args)
        assert self._session is not None
        with self._session.begin_nested():
            return handler(self._session, *args)

    def commit(self) -> None:
        """The test ends its transaction itself."""


class Run:
    """One run, over all its attempts."""

    def __init__(
        self,
        function: Function[Any],
        client: Inngest,
        events: list[Event],
        stubs: Mapping[str, object],
        session: SqlSession | None = None,
    ) -> None:
        self.function = function
        self.client = client
        self.run_id = NO_ID
        self.middleware = MiddlewareChain([])
        self._events = events
        self._stubs = stubs
        self._session = session
        self._max_attempts = 1 + (DEFAULT_RETRIES if function.opts.retries is None else function.opts.retries)
        self._attempt = 0
        self._failures: dict[str, int] = {}
        self._memos: dict[str, Output] = {}
        self._causes: dict[str, Exception] = {}
        self._unstubbed: UnstubbedStepError | None = None

    def facts(self) -> dict[str, Any]:
        """Begin an attempt: give what its context says, apart from ``step`` and ``group``."""
        self.middleware = MiddlewareChain.build(self.client, self.function)
        self._uses: dict[str, int] = {}
        self._names: dict[str, tuple[str, int]] = {}
        self._open = StepMemos({key: Output(memo.data, memo.error) for key, memo in self._memos.items()})
        self._suspended_at: str | None = None
        self._logger = FilteredLogger(self.client.logger)
        return {
            "attempt": self._attempt,
            "event": self._events[0],
            "events": self._events,
            "job_id": None,
            "logger": self._logger.as_logger(),
            "request_id": None,
            "run_id": self.run_id,
            "max_attempts": self._max_attempts,
        }

    def attempt(self, ctx: Context | ContextSync) -> Work[Result | None]:
        """Run the function from the top; gives None when it is to be run again."""
        self._context = ctx
        yield from self.middleware.transform_input(ctx, self.function, self._open)
        yield from self._go_live()
        result = TransformOutputResult(None, EmptySentinel, None)
        try:
            result.output = self._preserve((yield lambda: self.function.start(ctx)))
            self._refuse_swallowed()
            yield from self.middleware.after_execution()
        except Suspended:
            return None
        except Exception as error:  # noqa: BLE001  whatever the function raises is the run's result
            if self._unstubbed is not None:
                raise self._unstubbed from None
            if self._again(error, key=""):
                return None
            result.error = error
        yield from self.middleware.transform_output(result)
        yield from self.middleware.before_response()
        if result.error is None:
            return Result(None, result.output, Status.COMPLETED)
        return Result(_original(result.error), None, Status.FAILED)

    async def reach(self, call: StepCall) -> object:
        return await run_async(self._reach(call))

    def reach_sync(self, call: StepCall) -> object:
        return run_sync(self._reach(call))

    async def parallel(self, callables: Sequence[Callable[[], Awaitable[object]]], *, race: bool) -> tuple[object, ...]:
        results = await asyncio.gather(*(branch() for branch in callables), return_exceptions=True)
        raised = [result for result in results if isinstance(result, BaseException)]
        for error in sorted(raised, key=lambda error: isinstance(error, Exception)):
            raise error  # A suspension goes first: the others will be met again.
        return tuple(results)

    def parallel_sync(self, callables: Sequence[Callable[[], object]], *, race: bool) -> tuple[object, ...]:
        return tuple(branch() for branch in callables)

    def _reach(self, call: StepCall) -> Work[object]:
        """Give a step's result, from memory or by carrying it out."""
        self._number(call)
        memo = self._open.pop(call.hashed_id)
        if isinstance(memo, EmptySentinel):
            memo = yield from self._carry_out(call)
        else:
            yield from self._go_live()
        if memo.error is not None:
            raise memo.error.to_step_error() from self._causes.get(call.hashed_id)
        return memo.data

    def _number(self, call: StepCall) -> None:
        parent = _parent.get()
        if parent is not None:
            raise StepNestedError(call.step_id, parent)
        if self._suspended_at is not None:
            raise Suspended  # Another branch is being unwound, and this one goes no further either.
        index = self._uses.get(call.step_id, 0)
        self._uses[call.step_id] = index + 1
        call.hashed_id = ids.hash_step_id(call.step_id, index)
        met = self._names.setdefault(call.hashed_id, (call.step_id, index))
        if met != (call.step_id, index):
            raise StepIdCollisionError(max(met[0], call.step_id, key=len))

    def _carry_out(self, call: StepCall) -> Work[Output]:
        if call.step_id in self._stubs:
            stub = self._stubs[call.step_id]
            memo = Output(None if stub is Timeout else stub)
        elif call.op is Opcode.SLEEP:
            memo = Output()
        elif call.op is Opcode.CELERY:
            memo = self._apply(call)
        elif call.body is not None and self._has_transaction(call):
            memo = yield from self._run_body(call, call.body)
        else:
            self._unstubbed = UnstubbedStepError(call.step_id)
            raise self._unstubbed
        self._memos[call.hashed_id] = memo
        self._failures.pop("", None)
        self._attempt = self._context.attempt = 0
        return (yield from self._as_read(call.hashed_id, memo))

    def _has_transaction(self, call: StepCall) -> bool:
        """Give a body that runs in a transaction one to run in; false if there is none."""
        if call.transaction is None:
            return True
        call.transaction.current = _Rehearsal(self._session, call.transaction.opener)
        return self._session is not None or call.transaction.opener is not None

    def _apply(self, call: StepCall) -> Output:
        """Carry out a Celery task in place."""
        kept = cast("dict[str, Any]", (call.opts or {})["signature"])
        ending = Canvas(self.client.celery, kept, self.run_id, call.hashed_id).apply()
        if isinstance(ending, Done):
            return Output(ending.value)
        return Output(error=MemoizedError(ending.message, ending.name, ending.stack))

    def _run_body(self, call: StepCall, body: Callable[[], object]) -> Work[Output]:
        info = TransformOutputStepInfo(call.step_id, call.op, call.opts)
        result = TransformOutputResult(None, None, info)
        token = _parent.set(call.step_id)
        try:
            result.output = yield body
        except Exception as error:  # noqa: BLE001  whatever the step raises is its result
            result.error = error
        finally:
            _parent.reset(token)
        if result.error is None:
            yield from self.middleware.after_execution()
        yield from self.middleware.transform_output(result)
        if result.error is not None:
            return self._failed(call, result.error)
        return Output(json.loads(encode_output(result.output, call.step_id)))

    def _failed(self, call: StepCall, error: Exception) -> Output:
        """Unwind to try again, or give the error that the step ends with."""
        if self._again(error, key=call.hashed_id):
            self._suspended_at = call.step_id
            raise Suspended
        if isinstance(error, NonRetriableError):
            raise error
        self._causes[call.hashed_id] = error
        return Output(error=MemoizedError.of(error))

    def _again(self, error: Exception, *, key: str) -> bool:
        """Count a failed attempt, of a step or of the code between (no key); tells whether another follows."""
        if isinstance(error, Error) and not error.is_retriable:
            return False
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        if failures >= self._max_attempts:
            return False
        self._attempt = failures
        return True

    def _as_read(self, key: str, memo: Output) -> Work[Output]:
        """Give the memo as the function will see it on its next pass: through ``transform_input``."""
        memos = StepMemos({key: Output(memo.data, memo.error)})
        if self.middleware.members:
            yield from self.middleware.transform_input(self._context, self.function, memos)
        read = memos.pop(key)
        return memo if isinstance(read, EmptySentinel) else read

    def _go_live(self) -> Work[None]:
        """Once all memoised steps have been passed, what runs is new."""
        if self._open.size == 0 and not self._logger.live:
            self._logger.live = True
            yield from self.middleware.before_execution()

    def _refuse_swallowed(self) -> None:
        """The function has returned, so it must not have caught what was to unwind it."""
        if self._unstubbed is not None:
            raise self._unstubbed
        if self._suspended_at is not None:
            raise SuspensionSwallowedError(self._suspended_at)

    def _preserve(self, output: object) -> object:
        serializer = self.client.serializer
        if serializer is None or self.function.output_type is EmptySentinel:
            return output
        return serializer.serialize(output, self.function.output_type)


def _original(error: Exception) -> Exception:
    """A step's error that the function let pass counts as the exception that was raised in the step."""
    cause = error.__cause__
    return cause if isinstance(error, StepError) and isinstance(cause, Exception) else error
