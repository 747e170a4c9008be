"""Every error that user code can meet.

Exception
└── Error                              code, message, name, stack, is_retriable
    ├── CodedError
    │   └── URLInvalidError
    ├── FunctionConfigInvalidError     a function's options cannot be used; raised where the function is defined
    ├── EventInvalidError              an event cannot be sent; raised before anything is stored
    ├── SendEventsError                events were refused, in whole or in part
    ├── EventKeyUnspecifiedError
    ├── SigningKeyMissingError
    ├── AsyncUnsupportedError          something async was met in a function that is not
    ├── NonRetriableError              for user code: fail now, without another attempt
    ├── RetryAfterError                for user code: try again, but not before
    ├── RunSkippedError                a run that was called was skipped; its code says why
    ├── StepError                      what a failed step raises in the function; catch it to go on
    ├── StepInvalidError               a step was called with arguments that can never work
    ├── StepIdCollisionError
    ├── StepNestedError
    ├── StepUnexpectedError
    ├── StubMissingError               a function runs without effects, and nothing was said of one of its steps
    ├── SuspensionSwallowedError
    ├── TransactionMisusedError        a transactional step's body has ended, or wanted to end, the transaction
    ├── RateLimitedError               a Celery task was called beyond its rate limit, and dropped
    ├── CostInvalidError               what a step says that it cost is no number from 0 up
    ├── SecretError                    a Secret cannot be sealed, or not be opened: a key is missing
    ├── OutputUnserializableError      a step or function returned what JSON cannot hold
    ├── BodyInvalidError, FunctionNotFoundError, HeaderMissingError, QueryParamMissingError,
    │   RegistrationFailedError, SigVerificationFailedError, UnknownError
    └── (user classes)
BaseException
└── Suspended                          not an error: how a function is put aside until its next step is done
"""

from __future__ import annotations

import datetime
import enum

from inngest_celery.sdk.stack import user_stack


class ErrorCode(enum.StrEnum):
    """The stable codes of errors, as they stand on the wire and in stored outputs."""

    ASYNC_UNSUPPORTED = "async_unsupported"
    BATCH_IF_EXPRESSION_INVALID = "batch_if_expression_invalid"
    BATCH_KEY_EXPRESSION_INVALID = "batch_key_expression_invalid"
    BATCH_SIZE_INVALID = "batch_size_invalid"
    BATCH_TIMEOUT_INVALID = "batch_timeout_invalid"
    BODY_INVALID = "body_invalid"
    BUDGET_EXCEEDED = "budget_exceeded"
    BUDGET_INVALID = "budget_invalid"
    CALL_INVALID = "call_invalid"
    CELERY_OPTION_INVALID = "celery_option_invalid"
    COMBO_UNSUPPORTED = "combo_unsupported"
    CONCURRENCY_LIMIT_INVALID = "concurrency_limit_invalid"
    COST_INVALID = "cost_invalid"
    ENCRYPTION_KEY_INVALID = "encryption_key_invalid"
    ENCRYPTION_KEY_UNKNOWN = "encryption_key_unknown"
    EVENT_INVALID = "event_invalid"
    EVENT_KEY_UNSPECIFIED = "event_key_unspecified"
    EVENT_NAME_INVALID = "event_name_invalid"
    EXPRESSION_INVALID = "expression_invalid"
    FUNCTION_CONFIG_INVALID = "function_config_invalid"
    FUNCTION_ID_DUPLICATE = "function_id_duplicate"
    FUNCTION_NOT_FOUND = "function_not_found"
    HEADER_MISSING = "header_missing"
    NON_RETRIABLE_ERROR = "non_retriable_error"
    OUTPUT_UNSERIALIZABLE = "output_unserializable"
    QUERY_PARAM_MISSING = "query_param_missing"
    RATE_LIMITED = "rate_limited"
    REGISTRATION_FAILED = "registration_failed"
    REPLACES_INVALID = "replaces_invalid"
    RETRY_AFTER_ERROR = "retry_after_error"
    SCHEDULE_INVALID = "schedule_invalid"
    SECRET_KEY_MISSING = "secret_key_missing"
    SECRET_UNREADABLE = "secret_unreadable"
    SEND_EVENT_FAILED = "send_event_failed"
    SERVER_KIND_MISMATCH = "server_kind_mismatch"
    SIGNING_KEY_UNSPECIFIED = "signing_key_unspecified"
    SIG_VERIFICATION_FAILED = "sig_verification_failed"
    STEP_ERRORED = "step_errored"
    STEP_ID_COLLISION = "step_id_collision"
    STEP_INVALID = "step_invalid"
    STEP_NESTED = "step_nested"
    STEP_TIME_LIMIT = "step_time_limit"
    STEP_UNEXPECTED = "step_unexpected"
    STUB_MISSING = "stub_missing"
    SUSPENSION_SWALLOWED = "suspension_swallowed"
    TASK_NAME_TAKEN = "task_name_taken"
    TIMEOUT_TOO_LONG = "timeout_too_long"
    TRANSACTION_MISUSED = "transaction_misused"
    UNKNOWN = "unknown"
    URL_INVALID = "url_invalid"


class Error(Exception):
    """The parent of all errors of this package.

    Attributes:
        code: what happened, in a form that does not change between releases.
        is_retriable: whether another attempt can help.
        include_stack: whether the stack is stored with the error.
    """

    code: str = ErrorCode.UNKNOWN
    is_retriable: bool = True
    include_stack: bool = True

    @property
    def message(self) -> str:
        return str(self)

    @property
    def name(self) -> str:
        return type(self).__name__

    @property
    def stack(self) -> str | None:
        return user_stack(self)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle whatever ``__init__`` takes: a child process may have to hand its error to its parent."""
        return _unpickle, (type(self), self.args, self.__dict__)


def _unpickle(kind: type[Error], args: tuple[object, ...], attributes: dict[str, object]) -> Error:
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


class CodedError(Error):
    """An error that is told from others by its code alone."""

    def __init__(self, code: str, message: str, *, is_retriable: bool = True) -> None:
        super().__init__(message)
        self.code = code
        self.is_retriable = is_retriable


class URLInvalidError(CodedError):
    """A URL has no domain and no port."""

    def __init__(
        self, code: str = ErrorCode.URL_INVALID, message: str = "invalid URL", *, is_retriable: bool = True
    ) -> None:
        super().__init__(code, message, is_retriable=is_retriable)


class FunctionConfigInvalidError(Error):
    """A function's options cannot be used.

    Args:
        message: what is wrong, and what to write instead.
        code: the rule that was broken.
        path: the option, such as ``throttle.period`` or ``trigger[1].cron``.
    """

    code: str = ErrorCode.FUNCTION_CONFIG_INVALID
    is_retriable = False

    def __init__(self, message: str, *, code: str = ErrorCode.FUNCTION_CONFIG_INVALID, path: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.code = code
        self.path = path


class EventInvalidError(Error):
    """An event cannot be made or sent. Nothing of the call was stored or sent.

    Attributes:
        index: which event of the call, from 0; None for one that could not even be made.
        field: which of its fields; empty for what is no event at all.
    """

    code: str = ErrorCode.EVENT_INVALID
    is_retriable = False

    def __init__(self, message: str, *, index: int | None, field: str, code: str = ErrorCode.EVENT_INVALID) -> None:
        subject = "Event" if index is None else f"events[{index}]"
        super().__init__(f"{subject}.{field}: {message}" if field else f"{subject}: {message}")
        self.code = code
        self.index = index
        self.field = field


class SendEventsError(Error):
    """Events were refused. ``ids`` names those that were accepted all the same."""

    code: str = ErrorCode.SEND_EVENT_FAILED

    def __init__(self, message: str, ids: list[str]) -> None:
        super().__init__(message)
        self.ids = ids


class AsyncUnsupportedError(Error):
    """Something async was met where nothing can await it."""

    code: str = ErrorCode.ASYNC_UNSUPPORTED


class SigVerificationFailedError(Error):
    """A request's signature is missing, too old, or not made with our signing key."""

    code: str = ErrorCode.SIG_VERIFICATION_FAILED


class BodyInvalidError(Error):
    """A request's body cannot be read."""

    code: str = ErrorCode.BODY_INVALID


class EventKeyUnspecifiedError(Error):
    """Sending to a production server takes an event key."""

    code: str = ErrorCode.EVENT_KEY_UNSPECIFIED


class FunctionNotFoundError(Error):
    """No function has this id."""

    code: str = ErrorCode.FUNCTION_NOT_FOUND


class HeaderMissingError(Error):
    """A request lacks a header that it needs."""

    code: str = ErrorCode.HEADER_MISSING


class QueryParamMissingError(Error):
    """A request lacks a query parameter that it needs."""

    code: str = ErrorCode.QUERY_PARAM_MISSING


class SigningKeyMissingError(Error):
    """A production app takes a signing key."""

    code: str = ErrorCode.SIGNING_KEY_UNSPECIFIED


class RegistrationFailedError(Error):
    """A server did not accept the app's functions."""

    code: str = ErrorCode.REGISTRATION_FAILED


class UnknownError(Error):
    """Something failed in a way that has no code of its own."""


class StepUnexpectedError(Error):
    """The function did not reach the step it was asked to run: it reached another, or none."""

    code: str = ErrorCode.STEP_UNEXPECTED
    include_stack = False


class OutputUnserializableError(Error):
    """A step or function returned a value that JSON cannot hold. The message names the type and where it is."""

    code: str = ErrorCode.OUTPUT_UNSERIALIZABLE
    is_retriable = False


class SecretError(Error):
    """A secret cannot be sealed, or not be opened.

    Attributes:
        code: ``secret_key_missing`` or ``secret_unreadable``. The message says which setting to look at.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class NonRetriableError(Error):
    """Raise it to fail at once, without another attempt.

    Args:
        message: what happened.
        quiet: do not log it.

    Example:
        >>> raise NonRetriableError("no such customer")
        Traceback (most recent call last):
        ...
        inngest_celery.sdk.errors.NonRetriableError: no such customer

    Mirrors https://www.inngest.com/docs/features/inngest-functions/error-retries/inngest-errors
    """

    code: str = ErrorCode.NON_RETRIABLE_ERROR
    is_retriable = False

    def __init__(self, message: str | None = None, quiet: bool = False) -> None:
        super().__init__(message)
        self.quiet = quiet


class RetryAfterError(Error):
    """Raise it to be tried again, but not before an instant.

    Args:
        message: what happened.
        retry_after: milliseconds from now, a timedelta from now, or an instant (local time if it has no zone).
        quiet: do not log it.

    Attributes:
        retry_after: the instant, in UTC.
        delay: how long after the error that is, if it was given so; the engine counts it on its own clock.

    Example:
        >>> RetryAfterError("rate limited", 60_000).retry_after > datetime.datetime.now(datetime.UTC)
        True

    Mirrors https://www.inngest.com/docs/features/inngest-functions/error-retries/inngest-errors
    """

    code: str = ErrorCode.RETRY_AFTER_ERROR

    def __init__(
        self, message: str | None, retry_after: int | datetime.timedelta | datetime.datetime, quiet: bool = False
    ) -> None:
        super().__init__(message)
        if isinstance(retry_after, int):
            retry_after = datetime.timedelta(milliseconds=retry_after)
        self.delay = retry_after if isinstance(retry_after, datetime.timedelta) else None
        if isinstance(retry_after, datetime.timedelta):
            retry_after = datetime.datetime.now(datetime.UTC) + retry_after
        self.retry_after: datetime.datetime = retry_after.astimezone(datetime.UTC)
        self.quiet = quiet


class RunSkippedError(Error):
    """A run that was called by ``delay()`` or a canvas was skipped, by a policy of its function or an operator.

    Attributes:
        code: by what: ``debounced``, ``duplicate``, ``function_drained``, ``function_paused``, ``rate_limited`` or
            ``singleton``.

    Example:
        >>> RunSkippedError("the function is paused", "function_paused").code
        'function_paused'

    Mirrors https://www.inngest.com/docs/guides/pause-functions
    """

    is_retriable = False

    def __init__(self, message: str, code: str) -> None:
        # Both are args: Celery's result backends make the exception anew from these.
        super().__init__(message, code)
        self.code = code

    def __str__(self) -> str:
        return str(self.args[0])


class StepError(Error):
    """A step failed for good. Catch it to go on without the step's result.

    ``message``, ``name`` and ``stack`` are those of the error that was raised in the step.

    Example:
        >>> error = StepError("card declined", "PaymentError", None)
        >>> error.name, str(error)
        ('PaymentError', 'card declined')

    Mirrors https://www.inngest.com/docs/features/inngest-functions/error-retries/rollbacks
    """

    code: str = ErrorCode.STEP_ERRORED
    is_retriable = False

    def __init__(self, message: str, name: str, stack: str | None) -> None:
        # All of them are args: Celery's result backends make the exception anew from these.
        super().__init__(message, name, stack)
        self._message = message
        self._name = name
        self._stack = stack

    def __str__(self) -> str:
        return self._message

    @property
    def message(self) -> str:
        return self._message

    @property
    def name(self) -> str:
        return self._name

    @property
    def stack(self) -> str | None:
        return self._stack


class RateLimitedError(Error):
    """A Celery task with a rate limit was called more often than that, and this call was dropped.

    It is the result of the call that was dropped; the task itself never began.
    """

    code: str = ErrorCode.RATE_LIMITED
    is_retriable = False
    include_stack = False


class StepInvalidError(Error):
    """A step was called with arguments that can never work, so trying again is of no use."""

    code: str = ErrorCode.STEP_INVALID
    is_retriable = False

    def __init__(self, message: str, *, code: str = ErrorCode.STEP_INVALID) -> None:
        super().__init__(message)
        self.code = code


class CostInvalidError(Error):
    """What a step says that it cost is no number from 0 up. Trying again is of no use, and may cost as much again."""

    code: str = ErrorCode.COST_INVALID
    is_retriable = False


class StepIdCollisionError(Error):
    """A literal step id such as "x:1" stands next to a second use of "x": both would be memoised as one step."""

    code: str = ErrorCode.STEP_ID_COLLISION
    is_retriable = False

    def __init__(self, step_id: str) -> None:
        super().__init__(
            f'the step id "{step_id}" is used as it stands and is also what a repeated id becomes. '
            "Give one of the steps another id."
        )
        self.step_id = step_id


class StepNestedError(Error):
    """A step was called inside another step's body."""

    code: str = ErrorCode.STEP_NESTED
    is_retriable = False

    def __init__(self, step_id: str, parent_id: str) -> None:
        super().__init__(
            f'Nested steps are not supported: "{step_id}" was called inside the body of "{parent_id}". '
            "Call it before or after that step, in the function itself."
        )
        self.step_id = step_id
        self.parent_id = parent_id


class StubMissingError(Error):
    """A function runs in the shadow of the code that it replaces, and nobody said what one of its steps gives there."""

    code: str = ErrorCode.STUB_MISSING
    is_retriable = False

    def __init__(self, step_id: str) -> None:
        super().__init__(
            f'the step "{step_id}" has effects, perhaps, and this run is to have none: say in client.cutover(...) what '
            f'it gives there, stubs={{"{step_id}": ...}}, or let it be executed, execute=["{step_id}"]'
        )
        self.step_id = step_id


class SuspensionSwallowedError(Error):
    """Code around a step caught the signal that puts the function aside, and went on without the step's result."""

    code: str = ErrorCode.SUSPENSION_SWALLOWED
    is_retriable = False

    def __init__(self, step_id: str) -> None:
        super().__init__(
            f'the suspension at step "{step_id}" was caught by a bare "except:" or "except BaseException". '
            'Catch "Exception" or "StepError" instead, or re-raise.'
        )
        self.step_id = step_id


class TransactionMisusedError(Error):
    """The body of a transactional step has ended its transaction, or wanted to: that is the step's business."""

    code: str = ErrorCode.TRANSACTION_MISUSED
    is_retriable = False

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} A transactional step commits by itself, together with its result, when its body returns; to roll "
            "back, raise. For a part that may fail by itself use a savepoint: with session.begin_nested()."
        )


class Suspended(BaseException):
    """Unwinds the function's stack when the result of a step is not there yet.

    A BaseException, because ``except Exception`` around a step is common and right: it must catch the step's errors,
    and must not catch this. ``finally`` blocks and context managers do run.
    """


def error_object(error: BaseException) -> dict[str, object]:
    """Give an error as it is stored and sent: ``code``, ``message``, ``name`` and ``stack``.

    Example:
        >>> error_object(KeyError("a"))["name"]
        'KeyError'
    """
    if isinstance(error, Error):
        stack = error.stack if error.include_stack else None
        return {"code": str(error.code), "message": error.message, "name": error.name, "stack": stack}
    return {"code": "unknown", "message": str(error), "name": type(error).__name__, "stack": user_stack(error)}
