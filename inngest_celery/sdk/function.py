"""Functions: what ``create_function`` makes of a handler."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict

from inngest_celery.sdk import config, effects, time_limits
from inngest_celery.sdk.context import Context, ContextSync, current_step
from inngest_celery.sdk.legacy import Legacy
from inngest_celery.sdk.types import EmptySentinel, T

if TYPE_CHECKING:
    from celery.canvas import Signature
    from celery.result import AsyncResult, EagerResult

    from inngest_celery.sdk.client import Inngest
    from inngest_celery.sdk.middleware import UninitializedMiddleware
    from inngest_celery.sdk.stubs import Stubs
    from inngest_celery.sdk.time_limits import TimeLimits

Trigger: TypeAlias = config.TriggerCron | config.TriggerEvent
HandlerAsync: TypeAlias = Callable[[Context], Awaitable[T]]
HandlerSync: TypeAlias = Callable[[ContextSync], T]

FUNCTION_FAILED = "inngest/function.failed"


class FunctionOpts(BaseModel):
    """A function's options, as given to ``create_function``."""

    model_config = ConfigDict(strict=True, extra="forbid", arbitrary_types_allowed=True)

    batch_events: config.Batch | None = None
    budget: config.Budget | None = None
    cancel: list[config.Cancel] | None = None
    concurrency: list[config.Concurrency] | config.ConcurrencyLevels | None = None
    debounce: config.Debounce | None = None
    fully_qualified_id: str
    idempotency: str | None = None
    local_id: str
    name: str
    on_failure: Callable[..., Any] | None = None
    priority: config.Priority | None = None
    rate_limit: config.RateLimit | None = None
    retries: int | None = None
    shared_limits: str | None = None
    throttle: config.Throttle | None = None
    timeouts: config.Timeouts | None = None
    singleton: config.Singleton | None = None


@dataclass(frozen=True)
class FunctionConfigs:
    """What a function registers: itself, and its failure handler as a function of its own."""

    main: config.FunctionConfig
    on_failure: config.FunctionConfig | None


@dataclass(eq=False, repr=False)
class Function(Generic[T]):
    """A durable function. ``Inngest.create_function`` makes it.

    Call it as a Celery task (``delay``, ``apply_async``, ``apply``, ``s``, ``si``), send an event that triggers it, or
    invoke it from another function with ``step.invoke``.

    Attributes:
        client: the client that made it.
        opts: its options.
        triggers: what starts it.
        handler: the user's function.
        output_type: what its result is rebuilt as, if the client has a serializer.
        middleware: its own middleware; the client's comes before it.
        celery_options: options for its Celery tasks.
        stubs: what stands in for its steps, if it runs without effects, see :meth:`Inngest.cutover`.
        replaces: the Celery tasks whose names it has taken over.

    Mirrors https://www.inngest.com/docs/learn/inngest-functions
    """

    client: Inngest
    opts: FunctionOpts
    triggers: list[Trigger]
    handler: HandlerAsync[T] | HandlerSync[T]
    output_type: object = EmptySentinel
    middleware: list[UninitializedMiddleware] = field(default_factory=list)
    celery_options: dict[str, object] = field(default_factory=dict)
    stubs: Stubs | None = None
    replaces: list[Legacy] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<Function {self.id}>"

    @property
    def id(self) -> str:
        """The full id, ``<app_id>-<fn_id>``."""
        return self.opts.fully_qualified_id

    @property
    def local_id(self) -> str:
        """The id within the app."""
        return self.opts.local_id

    @property
    def name(self) -> str:
        """The name for people."""
        return self.opts.name

    @property
    def task_name(self) -> str:
        """The name of its Celery task, ``<app_id>/<fn_id>``."""
        return f"{self.client.app_id}/{self.local_id}"

    @property
    def on_failure(self) -> Callable[..., Any] | None:
        """The user's failure handler."""
        return self.opts.on_failure

    @property
    def on_failure_fn_id(self) -> str | None:
        """The full id of the failure handler's function."""
        return f"{self.id}-failure" if self.opts.on_failure else None

    @property
    def is_handler_async(self) -> bool:
        return effects.is_async(self.handler)

    @property
    def is_on_failure_handler_async(self) -> bool | None:
        """None if there is no failure handler."""
        return None if self.opts.on_failure is None else effects.is_async(self.opts.on_failure)

    def start(self, ctx: Context | ContextSync) -> Awaitable[T] | T:
        """Call the handler, for a driver, which does so in a ``contextvars`` context of the run's own."""
        current_step.set(ctx.step)
        result = self.handler(ctx)  # type: ignore[arg-type]
        if not self.is_handler_async:
            effects.refuse_awaitable(
                result,
                f"the handler of {self.id} is not async, but gave something to await (a decorator around an async "
                "function, perhaps); define it with async def",
            )
        return result

    @cached_property
    def time_limits(self) -> TimeLimits:
        """What holds for each of its steps that says nothing else."""
        return time_limits.of_options(self.celery_options)

    def get_id(self) -> str:
        """Give the full id."""
        return self.id

    @cached_property
    def on_failure_function(self) -> Function[Any] | None:
        """The failure handler as a function of its own: it runs when a run of this function has failed.

        Mirrors https://www.inngest.com/docs/features/inngest-functions/error-retries/failure-handlers
        """
        if self.opts.on_failure is None:
            return None
        opts = self.companion_opts("failure", retries=0)
        failed = config.TriggerEvent(event=FUNCTION_FAILED, expression=f"event.data.function_id == '{self.id}'")
        return Function(self.client, opts, [failed], self.opts.on_failure, object, self.middleware, self.celery_options)

    def companion_opts(self, what: str, *, retries: int | None) -> FunctionOpts:
        """Give the options of a function that goes with this one, and has none of its limits."""
        return FunctionOpts(
            fully_qualified_id=f"{self.id}-{what}",
            local_id=f"{self.local_id}-{what}",
            name=f"{self.name} ({what})",
            retries=retries,
            cancel=[],
            concurrency=[],
        )

    def get_config(self, app_url: str) -> FunctionConfigs:
        """Give what is registered with a server that reaches the app at a URL."""
        failure = self.on_failure_function
        return FunctionConfigs(self._config(app_url), failure._config(app_url) if failure else None)

    def wire_config(self) -> dict[str, object]:
        """Give the function as it is stored: the names of the wire, without a URL and without what is not set.

        Example: ``{"id": "app-fn", "name": "fn", "triggers": [{"event": "a"}], "retries": 2}``
        """
        wire = _without_none(self._config("http://unused").to_dict())
        assert isinstance(wire, dict)
        del wire["steps"]
        if self.opts.retries is not None:
            wire["retries"] = self.opts.retries
        return wire

    @cached_property
    def wire_text(self) -> str:
        """What :meth:`wire_config` gives, as JSON text; made once, since every execution asks for it."""
        return json.dumps(self.wire_config(), sort_keys=True)

    def _config(self, app_url: str) -> config.FunctionConfig:
        opts = self.opts
        kind: Literal["http", "ws"] = "ws" if app_url.startswith(("ws://", "wss://")) else "http"
        url = f"{app_url}?fnId={quote(self.id, safe='')}&stepId=step"
        retries = config.Retries(attempts=opts.retries) if opts.retries is not None else None
        return config.FunctionConfig(
            **{name: getattr(opts, name) for name in _SAME},
            id=self.id,
            steps={"step": config.StepConfig(retries=retries, runtime=config.Runtime(type=kind, url=url))},
            triggers=self.triggers,
        )

    def delay(self, *args: Any, **kwargs: Any) -> AsyncResult:
        """Start a run, as Celery's ``delay`` does."""
        return self._task().delay(*args, **kwargs)

    def apply_async(self, *args: Any, **kwargs: Any) -> AsyncResult:
        """Start a run, as Celery's ``apply_async`` does."""
        return self._task().apply_async(*args, **kwargs)

    def apply(self, *args: Any, **kwargs: Any) -> EagerResult:
        """Execute a run here and now, as Celery's ``apply`` does.

        It needs neither a broker nor your database, and time passes at once where the run sleeps, waits or retries.
        ``inngest_celery.testing.Inline`` is for tests that look at what happens on the way.
        """
        return self._task().apply(*args, **kwargs)

    def s(self, *args: Any, **kwargs: Any) -> Signature:
        """Give a Celery signature, for use in a canvas."""
        return self._task().s(*args, **kwargs)

    def si(self, *args: Any, **kwargs: Any) -> Signature:
        """Give an immutable Celery signature, for use in a canvas."""
        return self._task().si(*args, **kwargs)

    def signature(self, args: Any = None, kwargs: Any = None, **options: Any) -> Signature:
        """Give a Celery signature with options, as Celery's ``signature`` does."""
        return self._task().signature(args, kwargs, **options)

    @property
    def legacy(self) -> Legacy:
        """What says how arguments of a call become the event's data: the first of ``replaces`` that does."""
        return next((each for each in self.replaces if each.maps), Legacy(self.task_name))

    def _task(self) -> Any:
        """The task that the worker package made when the function was defined."""
        return self.client.celery.tasks[self.task_name]


_SAME = (
    "batch_events",
    "budget",
    "cancel",
    "concurrency",
    "debounce",
    "idempotency",
    "name",
    "priority",
    "rate_limit",
    "shared_limits",
    "singleton",
    "throttle",
    "timeouts",
)


def _without_none(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value
