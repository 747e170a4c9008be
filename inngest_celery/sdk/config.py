"""The options of functions, as users write them and as they stand on the wire.

Durations are milliseconds (int) or timedeltas, at least one second, in whole seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import ConfigDict, Field, ValidationError

from inngest_celery.sdk.durations import Duration
from inngest_celery.sdk.errors import FunctionConfigInvalidError
from inngest_celery.sdk.model import Model


class _Config(Model):
    """Strict, keyword-only, closed, and with errors that name the option."""

    model_config = ConfigDict(strict=True, extra="forbid")

    def __init__(self, **options: object) -> None:
        try:
            super().__init__(**options)
        except ValidationError as error:
            raise config_error(error, type(self).__name__) from None


def config_error(error: ValidationError, subject: str) -> FunctionConfigInvalidError:
    """Say which options of ``subject`` are wrong, and how."""
    problems = [(_path(item["loc"]), item["msg"]) for item in error.errors()]
    message = "; ".join([problems[0][1], *(f"{path}: {text}" for path, text in problems[1:])])
    return FunctionConfigInvalidError(message, path=f"{subject}.{problems[0][0]}".lstrip("."))


# The two forms of ``concurrency``, which pydantic names in the place of an error as if they were options.
_FORMS = frozenset({"list[Concurrency]", "ConcurrencyLevels"})


def _path(places: Sequence[int | str]) -> str:
    return ".".join(str(place) for place in places if place not in _FORMS)


class Batch(_Config):
    """Collect events into one run, which has them all as ``ctx.events``, in the order in which they were received.

    A batch with more than 10 MiB of data starts before it is full. Calls and cron ticks are never collected.

    Args:
        max_size: the run starts when so many events are there; 2 to 100.
        timeout: the run starts when the first event has waited so long.
        key: an expression; each value of it has a batch of its own.
        if_exp: an expression; an event for which it is false gets a run of its own at once.

    Example:
        >>> Batch(max_size=10, timeout=5000).to_dict()["timeout"]
        '5s'

    Mirrors https://www.inngest.com/docs/guides/batching
    """

    max_size: int = Field(serialization_alias="maxSize")
    timeout: Duration | None = None
    key: str | None = None
    if_exp: str | None = Field(default=None, serialization_alias="if")


class Budget(_Config):
    """Cap what steps may cost, in tokens, money or whatever they report, within a sliding window of time.

    Not in the official package. A step reports its cost with ``cost=`` of ``step.run`` or ``step.ai.infer``, or the
    expression here reads it from the step's output. It counts when the step's result is recorded: once, however often
    the step's body ran. What a failed attempt has spent does not count.

    Args:
        limit: how much may be spent in the window. A step begins while there is any left, so the one that crosses the
            limit, and those that execute beside it, go beyond it by what they cost.
        period: how long the window is; up to 31 days.
        key: an expression over ``event``; each value of it has a budget of its own.
        cost: an expression over ``output`` (what a step gave, as JSON, before any middleware) and ``event``. Null
            stands for no cost; what else is no number from 0 up fails the step. ``cost=`` of a step goes before it.
        mode: what becomes of further steps: they ``queue`` until the window has moved on, or ``stop``, which fails the
            run with the code ``budget_exceeded``.

    Example:
        >>> Budget(limit=100, period=86_400_000, cost="output.usage.total_tokens").to_dict()["period"]
        '1d'
    """

    limit: float
    period: Duration
    key: str | None = None
    cost: str | None = None
    mode: Literal["queue", "stop"] = "queue"


class Cancel(_Config):
    """Cancel a run when an event arrives.

    Args:
        event: the event's name.
        if_exp: an expression over ``event`` (what started the run) and ``async`` (what would cancel it).
        timeout: how long after its start the run can be cancelled in this way; always, if left out.

    Example:
        >>> Cancel(event="app/user.deleted", if_exp="async.data.user == event.data.user").event
        'app/user.deleted'

    Mirrors https://www.inngest.com/docs/features/inngest-functions/cancellation/cancel-on-events
    """

    event: str
    if_exp: str | None = Field(default=None, serialization_alias="if")
    timeout: Duration | None = None


class Concurrency(_Config):
    """Limit how many steps execute at a time. Steps that sleep or wait do not count.

    Args:
        key: an expression; each value of it has a limit of its own.
        limit: how many; 0 sets no limit of its own.
        scope: what shares the limit: this function (``fn``, the default), the environment or the account.

    Example:
        >>> Concurrency(limit=5, key="event.data.customer").limit
        5

    Mirrors https://www.inngest.com/docs/guides/concurrency
    """

    key: str | None = None
    limit: int
    scope: Literal["account", "env", "fn"] | None = None


class ConcurrencyLevels(_Config):
    """Limit runs, and not only steps.

    Not in the official Python package; the wire knows it.

    Args:
        fn: at most one limit on runs: each counts from its start to its end, also while it sleeps or waits.
        step: up to two limits on steps that execute, as in a plain list.

    Example:
        >>> ConcurrencyLevels(fn=[Concurrency(limit=1)], step=[Concurrency(limit=10)]).fn[0].limit
        1

    Mirrors https://www.inngest.com/docs/guides/concurrency
    """

    fn: list[Concurrency] = Field(default_factory=list)
    step: list[Concurrency] = Field(default_factory=list)


class Debounce(_Config):
    """Wait until events stop coming, then run once, with the newest of them by its ``ts``.

    Args:
        key: an expression; each value of it is debounced by itself. Empty text is no key.
        period: how long no event may have come; up to 7 days.
        timeout: the run starts at the latest so long after the first event.

    Example:
        >>> Debounce(period=60_000).to_dict()["period"]
        '1m'

    Mirrors https://www.inngest.com/docs/guides/debounce
    """

    key: str | None = None
    period: Duration
    timeout: Duration | None = None


class Priority(_Config):
    """Let some runs go ahead of others.

    Args:
        run: an expression that gives seconds: a run with 60 goes before runs that came up to a minute earlier.

    Example:
        >>> Priority(run="event.data.plan == 'enterprise' ? 120 : 0").to_dict()["run"][:10]
        'event.data'

    Mirrors https://www.inngest.com/docs/guides/priority
    """

    run: str


class RateLimit(_Config):
    """Start at most so many runs in a period, and drop the events beyond it.

    Args:
        key: an expression; each value of it has a limit of its own.
        limit: how many runs.
        period: in what time; up to 24 hours.

    Example:
        >>> RateLimit(limit=10, period=3_600_000).to_dict()["period"]
        '1h'

    Mirrors https://www.inngest.com/docs/guides/rate-limiting
    """

    key: str | None = None
    limit: int
    period: Duration


class Singleton(_Config):
    """Have at most one run at a time.

    Args:
        key: an expression; each value of it may have one run. Where it is false or has no value, nothing is limited.
        mode: what happens to a second one: ``skip`` it, or ``cancel`` the first.

    Example:
        >>> Singleton(key="event.data.user", mode="skip").mode
        'skip'

    Mirrors https://www.inngest.com/docs/guides/singleton
    """

    key: str | None = None
    mode: Literal["skip", "cancel"]


class Throttle(_Config):
    """Start at most so many runs in a period, and let the others wait for their turn.

    Args:
        key: an expression; each value of it has a limit of its own.
        limit: how many runs.
        period: in what time; up to 7 days.
        burst: how many may start at once, beyond an even flow.

    Example:
        >>> Throttle(limit=20, period=90_000).to_dict()
        {'key': None, 'limit': 20, 'period': '90s', 'burst': 1}

    Mirrors https://www.inngest.com/docs/guides/throttling
    """

    key: str | None = None
    limit: int
    period: Duration
    burst: int | None = 1


class Timeouts(_Config):
    """Cancel runs that take too long.

    Args:
        start: the longest a run may wait for its start.
        finish: the longest it may take from its start to its end.

    Example:
        >>> Timeouts(finish=86_400_000).to_dict()
        {'start': None, 'finish': '1d'}

    Mirrors https://www.inngest.com/docs/features/inngest-functions/cancellation/cancel-on-timeouts
    """

    start: Duration | None = None
    finish: Duration | None = None


class TriggerCron(_Config):
    """Start a run by the clock.

    Args:
        cron: five fields (minute, hour, day of month, month, day of week), optionally after ``TZ=Europe/Paris ``.
        jitter: spread the starts over so long, such as ``30s``; 1 second to 5 minutes.

    Example:
        >>> TriggerCron(cron="TZ=Europe/Paris 0 12 * * 5").to_dict()["cron"]
        'TZ=Europe/Paris 0 12 * * 5'

    Mirrors https://www.inngest.com/docs/guides/scheduled-functions
    """

    cron: str
    jitter: str | None = None


class TriggerEvent(_Config):
    """Start a run when an event arrives.

    Args:
        event: the event's name; may end in ``/*`` or ``.*``.
        expression: start only if this is true of ``event``.

    Example:
        >>> TriggerEvent(event="shop/order.placed", expression="event.data.total > 100").event
        'shop/order.placed'

    Mirrors https://www.inngest.com/docs/features/events-triggers
    """

    event: str
    expression: str | None = None


class Retries(_Config):
    """How often a failed attempt is repeated."""

    attempts: int


class Runtime(_Config):
    """Where a server reaches the function."""

    type: Literal["http", "ws"] = "http"
    url: str


class StepConfig(_Config):
    """The one entry of a function's ``steps`` on the wire."""

    id: str = "step"
    name: str = "step"
    retries: Retries | None
    runtime: Runtime


class FunctionConfig(_Config):
    """A function as it is registered with a server."""

    batch_events: Batch | None = Field(serialization_alias="batchEvents")
    budget: Budget | None
    cancel: list[Cancel] | None
    concurrency: list[Concurrency] | ConcurrencyLevels | None
    debounce: Debounce | None
    id: str
    idempotency: str | None
    name: str
    priority: Priority | None
    rate_limit: RateLimit | None = Field(serialization_alias="rateLimit")
    shared_limits: str | None = Field(serialization_alias="sharedLimits")
    singleton: Singleton | None
    steps: dict[str, StepConfig]
    throttle: Throttle | None
    timeouts: Timeouts | None
    triggers: list[TriggerCron | TriggerEvent]

    def to_dict(self) -> dict[str, object]:
        wire = super().to_dict()
        for ours in ("budget", "sharedLimits"):
            if wire[ours] is None:
                # An official server need not meet a word that it does not know where it says nothing.
                del wire[ours]
        return wire
