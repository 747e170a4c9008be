"""The client: sends events and defines functions."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from inngest_celery.masking import sealed
from inngest_celery.masking.sealed import SecretKeys
from inngest_celery.sdk import celery_options as celery_options_rules
from inngest_celery.sdk import config, durations, effects, environment, legacy, limits, rules
from inngest_celery.sdk.effects import Blocking, Effect, Work
from inngest_celery.sdk.errors import (
    ErrorCode,
    EventKeyUnspecifiedError,
    FunctionConfigInvalidError,
    SendEventsError,
)
from inngest_celery.sdk.event import Event, SendEventsResult
from inngest_celery.sdk.function import Function, FunctionOpts, HandlerAsync, HandlerSync
from inngest_celery.sdk.legacy import Legacy
from inngest_celery.sdk.middleware import MiddlewareChain, UninitializedMiddleware
from inngest_celery.sdk.sending import HttpSender, as_list, sending
from inngest_celery.sdk.serializer import Serializer
from inngest_celery.sdk.types import EmptySentinel, Logger, T
from inngest_celery.sdk.version import package_version

if TYPE_CHECKING:
    from celery import Celery

    from inngest_celery.sdk.cutover import CanvasCutover
    from inngest_celery.worker.control import Control
    from inngest_celery.worker.runs import Runs

TaskT = TypeVar("TaskT")
OldT = TypeVar("OldT")

_DEFAULT_TIMEOUT = 30_000


class Inngest:
    """An app: it defines functions, and sends the events that start them.

    Args:
        api_base_url: the address of a server's API.
        app_id: the app's id; part of the ids of its functions, so it must not change.
        app_version: the app's version, for people.
        celery: the Celery app that runs the functions; the current one, if left out.
        env: the branch environment.
        event_api_base_url: send events to this server instead of storing them in our own tables.
        event_key: the key for that server.
        is_production: production or development; says ``INNGEST_DEV``, if left out.
        logger: what ``ctx.logger`` writes to.
        middleware: classes or factories, see :class:`Middleware`.
        request_timeout: of requests to a server: milliseconds or a timedelta; 30 seconds, if left out.
        serializer: for steps and functions that give an ``output_type``.
        signing_key: the key that signs requests between servers and apps.

    Raises:
        URLInvalidError: an address is none.

    Example:
        >>> client = Inngest(app_id="shop")
        >>> client.app_id
        'shop'

    Mirrors https://www.inngest.com/docs/reference/python/client/overview
    """

    def __init__(
        self,
        *,
        api_base_url: str | None = None,
        app_id: str,
        app_version: str | None = None,
        celery: Celery | None = None,
        env: str | None = None,
        event_api_base_url: str | None = None,
        event_key: str | None = None,
        is_production: bool | None = None,
        logger: Logger | None = None,
        middleware: list[UninitializedMiddleware] | None = None,
        request_timeout: int | datetime.timedelta | None = None,
        serializer: Serializer | None = None,
        signing_key: str | None = None,
    ) -> None:
        if not isinstance(app_id, str) or not app_id.strip():
            raise FunctionConfigInvalidError(
                f'give the app an id that never changes, such as "shop", not {app_id!r}', path="app_id"
            )
        self.app_id = app_id
        self.is_production = environment.is_production(is_production)
        self.logger: Logger = logger or logging.getLogger(__name__)
        self.serializer = serializer
        self.functions: dict[str, Function[Any]] = {}
        self.middleware: list[UninitializedMiddleware] = []
        for item in middleware or []:
            self.add_middleware(item)
        self._app_version = app_version
        self._celery = celery
        self._env = environment.env_name(env)
        self._event_key = environment.key(event_key, "INNGEST_EVENT_KEY")
        self._signing_key = environment.key(signing_key, "INNGEST_SIGNING_KEY")
        self._signing_key_fallback = environment.key(None, "INNGEST_SIGNING_KEY_FALLBACK")
        self._request_timeout = durations.milliseconds(_DEFAULT_TIMEOUT if request_timeout is None else request_timeout)
        production = self.is_production
        self._api_origin = environment.origin(api_base_url, "INNGEST_API_BASE_URL", production=production)
        self._event_origin = environment.origin(event_api_base_url, "INNGEST_EVENT_API_BASE_URL", production=production)

    @property
    def api_origin(self) -> str:
        """The address of the server's API."""
        return self._api_origin or (environment.CLOUD_API if self.is_production else environment.DEV_SERVER)

    @property
    def app_version(self) -> str | None:
        return self._app_version

    @property
    def celery(self) -> Celery:
        """The Celery app that runs the functions."""
        if self._celery is not None:
            return self._celery
        from celery import current_app

        return current_app._get_current_object()

    @property
    def env(self) -> str | None:
        """The branch environment."""
        return self._env

    @property
    def event_api_origin(self) -> str:
        """The address of the server's event API."""
        return self._event_origin or (environment.CLOUD_EVENTS if self.is_production else environment.DEV_SERVER)

    @property
    def event_key(self) -> str | None:
        return self._event_key

    @cached_property
    def runs(self) -> Runs:
        """The runs: get one, wait for its end, list them, cancel one."""
        from inngest_celery.worker.runs import Runs

        return Runs(self.celery)

    @cached_property
    def control(self) -> Control:
        """The functions' operation: pause one, let it go on, drain it."""
        from inngest_celery.worker.control import Control

        return Control(self.celery)

    @property
    def sends_over_http(self) -> bool:
        """Whether events go to a server, because one was named, and not into our own tables."""
        return self._event_origin is not None

    @property
    def signing_key(self) -> str | None:
        return self._signing_key

    @property
    def signing_key_fallback(self) -> str | None:
        return self._signing_key_fallback

    def add_middleware(self, middleware: UninitializedMiddleware) -> None:
        """Append middleware, for all functions and sends from now on."""
        for path, code, message in rules.middleware_problems([middleware]):
            raise FunctionConfigInvalidError(message, code=code, path=path)
        self.middleware.append(middleware)

    def set_logger(self, logger: Logger) -> None:
        """Set what ``ctx.logger`` writes to."""
        self.logger = logger

    async def send(
        self, events: Event | list[Event], *, skip_middleware: bool = False, session: object | None = None
    ) -> list[str]:
        """Send events. All are checked before any is stored.

        Args:
            events: one or many, up to 5000.
            skip_middleware: do not call ``before_send_events`` and ``after_send_events``.
            session: a SQLAlchemy session or connection, async or not: the events are stored in its transaction and
                exist once you commit it.

        Returns:
            The events' ids.

        Raises:
            EventInvalidError: an event cannot be sent; none was.
            SendEventsError: a server refused some or all.

        Example: ``await client.send(inngest.Event(name="shop/order.placed", data={"order": 7}))``

        Mirrors https://www.inngest.com/docs/reference/python/client/send
        """
        with sealed.used(self._secret_keys):
            return await effects.run_async(self._sending(events, skip_middleware, session))

    def send_sync(
        self, events: Event | list[Event], *, skip_middleware: bool = False, session: object | None = None
    ) -> list[str]:
        """As :meth:`send`, for code that is not async."""
        with sealed.used(self._secret_keys):
            return effects.run_sync(self._sending(events, skip_middleware, session))

    def _secret_keys(self) -> SecretKeys:
        """Give what seals secrets; asked only where there is one."""
        from inngest_celery.worker.runtime import runtime_of

        return runtime_of(self.celery).secret_keys()

    def _sending(self, events: Event | list[Event], skip_middleware: bool, session: object | None) -> Work[list[str]]:
        if session is not None and self.sends_over_http:
            raise SendEventsError(
                f"session= stores events in your transaction, but this client posts them to {self.event_api_origin}. "
                "Leave session out, or unset event_api_base_url, INNGEST_EVENT_API_BASE_URL, INNGEST_BASE_URL and the "
                "URL in INNGEST_DEV.",
                [],
            )
        chain = None if skip_middleware else MiddlewareChain.build(self)
        return sending(chain, as_list(events), lambda batch: self._delivery(batch, session))

    def _delivery(self, events: list[Event], session: object | None) -> Effect:
        """Say how the events are stored or posted."""
        if self.sends_over_http:
            return Blocking(lambda: self.http_sender().send(events))
        if session is None:
            return Blocking(lambda: self._store(events, None))
        run_sync = getattr(session, "run_sync", None)
        if run_sync is not None:  # SQLAlchemy's AsyncSession and AsyncConnection
            return lambda: run_sync(lambda inner: self._store(events, inner))
        # The session belongs to the caller's thread, so that is where it is used.
        return lambda: self._store(events, session)

    def _store(self, events: list[Event], session: object | None) -> SendEventsResult:
        from inngest_celery.worker.outbox import outbox

        return SendEventsResult(ids=outbox(self.celery).send(events, session=session))

    def http_sender(self) -> HttpSender:
        """Give what posts events to the server that was named.

        Raises:
            EventKeyUnspecifiedError: production takes a key, and there is none.
        """
        if not self._event_key and self.is_production:
            raise EventKeyUnspecifiedError(
                "sending to a server in production takes an event key: give event_key= or set INNGEST_EVENT_KEY "
                "(or set INNGEST_DEV=1 for a development server)"
            )
        key = self._event_key or "NO_EVENT_KEY_SET"
        return HttpSender(f"{self.event_api_origin.rstrip('/')}/e/{key}", self._headers(), self._request_timeout / 1000)

    def _headers(self) -> dict[str, str]:
        sdk = f"inngest-celery:v{package_version()}"
        headers = {"content-type": "application/json", "user-agent": sdk, "x-inngest-sdk": sdk}
        return headers | ({"x-inngest-env": self._env} if self._env else {})

    def create_function(
        self,
        *,
        batch_events: config.Batch | None = None,
        budget: config.Budget | None = None,
        cancel: list[config.Cancel] | None = None,
        celery_options: Mapping[str, object] | None = None,
        concurrency: list[config.Concurrency] | config.ConcurrencyLevels | None = None,
        debounce: config.Debounce | None = None,
        fn_id: str,
        idempotency: str | None = None,
        middleware: list[UninitializedMiddleware] | None = None,
        name: str | None = None,
        on_failure: HandlerAsync[Any] | HandlerSync[Any] | None = None,
        output_type: object = EmptySentinel,
        priority: config.Priority | None = None,
        rate_limit: config.RateLimit | None = None,
        replaces: str | Legacy | Sequence[str | Legacy] | None = None,
        retries: int | None = None,
        shared_limits: str | None = None,
        throttle: config.Throttle | None = None,
        timeouts: config.Timeouts | None = None,
        singleton: config.Singleton | None = None,
        trigger: config.TriggerCron | config.TriggerEvent | list[config.TriggerCron | config.TriggerEvent],
    ) -> Callable[[HandlerAsync[T] | HandlerSync[T]], Function[T]]:
        """Make a durable function of the function below.

        Args:
            batch_events: collect events into one run.
            budget: cap what steps may cost in a window of time.
            cancel: events that cancel a run.
            celery_options: options of its Celery tasks, such as ``{"queue": "mail", "time_limit": 600}``.
            concurrency: limits on steps that execute at a time, up to two; ``ConcurrencyLevels`` limits runs too.
            debounce: run once events stop coming.
            fn_id: the id; part of the run's identity, so it must not change.
            idempotency: an expression; one run for each value of it in 24 hours, in place of one for each event id. For
                an event for which it is null or false, the event's id counts.
            middleware: classes or factories, after the client's.
            name: the name for people; the id, if left out.
            on_failure: called as a function of its own when a run has failed.
            output_type: what ``step.invoke`` rebuilds the result as, with the client's serializer.
            priority: which runs go ahead.
            rate_limit: drop events beyond a number of runs in a period.
            replaces: the name of the Celery task that it takes over, or a :class:`Legacy`, or a list of them: calls and
                messages of that task start runs, and their results are those of the runs.
            retries: how often a failed attempt is repeated, 0 to 20; 4, if left out.
            shared_limits: a name: its throttle and concurrency are one with those of all functions, and of all tasks
                limited with ``shared=``, that give the same name. Each keeps to the numbers that it gives itself.
            throttle: delay runs beyond a number in a period.
            timeouts: cancel runs that take too long.
            singleton: one run at a time.
            trigger: what starts it; one or up to ten.

        Raises:
            FunctionConfigInvalidError: an option cannot be used; ``path`` names it, and the message says what to write.

        Example:
            >>> client = Inngest(app_id="shop")
            >>> @client.create_function(fn_id="greet", trigger=config.TriggerEvent(event="user/joined"))
            ... async def greet(ctx: Context) -> str:
            ...     return "hello"
            >>> greet.task_name
            'shop/greet'

        Mirrors https://www.inngest.com/docs/reference/python/functions/create
        """
        options = {
            "batch_events": batch_events,
            "budget": budget,
            "cancel": cancel,
            "concurrency": concurrency,
            "debounce": debounce,
            "fully_qualified_id": f"{self.app_id}-{fn_id}",
            "idempotency": idempotency,
            "local_id": fn_id,
            "name": fn_id if name is None else name,
            "on_failure": on_failure,
            "priority": priority,
            "rate_limit": rate_limit,
            "retries": retries,
            "shared_limits": shared_limits,
            "throttle": throttle,
            "timeouts": timeouts,
            "singleton": singleton,
        }
        try:
            opts = FunctionOpts(**options)  # type: ignore[arg-type]
        except ValidationError as error:
            raise config.config_error(error, "") from None
        triggers = list(trigger) if isinstance(trigger, list) else [trigger]
        task_options = celery_options_rules.check(celery_options)

        def decorate(handler: HandlerAsync[T] | HandlerSync[T]) -> Function[T]:
            function = Function(
                self,
                opts,
                triggers,
                handler,
                output_type,
                list(middleware or []),
                celery_options=task_options,
                replaces=legacy.check(replaces, f"{self.app_id}/{fn_id}"),
            )
            rules.check(function)
            self._add(function)
            return function

        return decorate

    def limit(
        self,
        *,
        concurrency: list[config.Concurrency] | None = None,
        rate_limit: config.RateLimit | None = None,
        shared: str | None = None,
        throttle: config.Throttle | None = None,
    ) -> Callable[[TaskT], TaskT]:
        """Limit the ordinary Celery task below, whoever calls it, and however.

        The limits hold where a worker is about to execute the task, and for each attempt anew. A call without room
        waits in the database, off the broker, and is sent again under the same task id when its turn comes. What
        calls the function itself (``task()``, ``task.apply()``, ``task_always_eager``) is not limited.

        Args:
            concurrency: limits on calls that execute at a time, up to two.
            rate_limit: drop calls beyond a number in a period: their result is a :class:`RateLimitedError`. Celery's
                own ``rate_limit`` counts for each worker by itself; this one counts for all of them.
            shared: a name: throttle and concurrency are one with those of all tasks, and of all functions with
                ``shared_limits=``, that give the same name. Concurrency is matched by its position in the list, keys by
                their values. Each keeps to the numbers that it gives itself.
            throttle: delay calls beyond a number in a period.

        Keys are expressions over ``args`` (the positional arguments), ``kwargs`` and ``task`` (the task's name).

        Raises:
            FunctionConfigInvalidError: a limit cannot be used; ``path`` names it, and the message says what to write.

        Example::

            @client.limit(throttle=Throttle(limit=10, period=1000), shared="vendor")
            @app.task
            def call_vendor(customer: str, amount: int) -> None: ...
        """
        opts = limits.check(concurrency=concurrency, rate_limit=rate_limit, shared=shared, throttle=throttle)

        def decorate(task: TaskT) -> TaskT:
            limits.check_task(task)
            from inngest_celery.worker.registry import register_limits

            register_limits(self, task, opts)
            return task

        return decorate

    def cutover(
        self,
        function: Function[Any],
        *,
        percent: float = 0,
        shadow: float = 0,
        stubs: Mapping[str, object] | None = None,
        execute: Collection[str] = (),
        key: str | None = None,
        compare: Callable[[Any, Any], bool] | None = None,
    ) -> Callable[[OldT], OldT | CanvasCutover]:
        """Move the calls of the old code below to a function: in its shadow first, then by percentage.

        The old code is a Celery task, which stays what it is and whose callers change nothing, or a function that
        builds a canvas; of the latter this makes something to call as a task (``delay``, ``apply_async``). The
        function's event has the old code's arguments as its data, by name.

        Which way a task's call goes is decided where a worker is about to execute it. One that goes to the function is
        answered under the same task id. One that has a shadow is done by the old code as always; the same call then
        starts the function without effects, and a run of ``<fn_id>-comparison`` tells whether both gave the same.
        Percentages are the code's until ``inngest-celery cutover set`` says others, for all processes within seconds.

        Args:
            function: takes the calls over.
            percent: of the calls, how many it takes.
            shadow: of the others, how many it shadows.
            stubs: what its steps give in the shadow, by step id: a value as JSON has it, or a function of the step's
                arguments. Time passes at once there and events are not sent; any other step that is not named is an
                error.
            execute: ids of steps that are executed in the shadow, since they only read. They see what the old code may
                have changed meanwhile.
            key: an expression over ``args``, ``kwargs`` and ``task``: calls with the same value go the same way, such
                as ``args[0]``. If left out, each call for itself.
            compare: tells whether two outputs are the same, the old one first. If left out: equal as JSON.

        Raises:
            FunctionConfigInvalidError: an option cannot be used; ``path`` names it.

        Example::

            @client.cutover(onboard, shadow=10, stubs={"send-mail": None}, execute=["load-user"])
            @app.task
            def old_onboard(user_id: int) -> None: ...

        Mirrors https://martinfowler.com/bliki/ParallelChange.html
        """
        from inngest_celery.sdk import cutover

        opts = cutover.check(percent=percent, shadow=shadow, key=key, compare=compare)
        if not isinstance(function, Function) or self.functions.get(function.id) is not function:
            raise FunctionConfigInvalidError(
                f"a function of this client, made with create_function, not {function!r}", path="cutover.function"
            )
        shadowing = cutover.without_effects(function, stubs or {}, execute)
        comparison = cutover.comparing(function, opts)

        def decorate(old: OldT) -> OldT | CanvasCutover:
            from inngest_celery.worker.registry import register_cutover

            kind = cutover.kind_of(old)
            moving = kind(function, opts, old, shadowing, comparison)
            self._add_all([shadowing, comparison])
            register_cutover(moving)
            return moving if isinstance(moving, cutover.CanvasCutover) else old

        return decorate

    def _add(self, function: Function[Any]) -> None:
        """Take in a function, and its failure handler as a function of its own."""
        failure = function.on_failure_function
        self._add_all([function] if failure is None else [function, failure])

    def _add_all(self, entries: Sequence[Function[Any]]) -> None:
        for entry in entries:
            if entry.id in self.functions or self._is_taken(entry):
                raise FunctionConfigInvalidError(
                    f'the app "{self.app_id}" already has a function "{entry.local_id}"; give one of them another id',
                    path="fn_id",
                    code=ErrorCode.FUNCTION_ID_DUPLICATE,
                )
        for entry in entries:
            self._register(entry)
            self.functions[entry.id] = entry

    def _is_taken(self, function: Function[Any]) -> bool:
        """Tell whether another client of this app has a function of this id; a module that is loaded again has not."""
        from inngest_celery.worker.registry import functions_of

        other = functions_of(self.celery).get(function.id)
        return other is not None and _place_of(other) != _place_of(function)

    def _register(self, function: Function[Any]) -> None:
        """Make the function's Celery task."""
        from inngest_celery.worker.registry import register

        register(self, function)


def _place_of(function: Function[Any]) -> tuple[str, str]:
    """Give where a function's handler stands in the code."""
    handler = function.handler
    return getattr(handler, "__module__", ""), getattr(handler, "__qualname__", repr(handler))
