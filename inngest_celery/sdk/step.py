"""``ctx.step``: the steps of a function, each done once and remembered."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from inngest_celery.sdk import calls
from inngest_celery.sdk.calls import StepBuilder
from inngest_celery.sdk.event import Event
from inngest_celery.sdk.types import EmptySentinel, T, Ts

if TYPE_CHECKING:
    from celery.canvas import Signature
    from sqlalchemy.orm import Session as SqlSession

    from inngest_celery.experimental.ai import BaseAdapter
    from inngest_celery.sdk.client import Inngest
    from inngest_celery.sdk.function import Function
    from inngest_celery.sdk.session import Session


class Step:
    """The steps of an async function.

    A step's result is stored when the step is done. When the function runs again, to go on after it, the call gives the
    stored result and does nothing else. An id names the step among those of its function; a repeated id is counted.

    Every method raises ``StepError`` when the step failed for good, and ``StepInvalidError`` when its arguments can
    never work.

    Mirrors https://www.inngest.com/docs/learn/inngest-steps
    """

    def __init__(self, client: Inngest, session: Session) -> None:
        self._session = session
        self._build = StepBuilder(client, session, is_async=True)
        self.ai = AI(self)

    async def celery(
        self, step_id: str, signature: Signature, *, timeout: int | datetime.timedelta | None = None
    ) -> Any:
        """Have a Celery task, or a chain, group or chord, done by its own workers, and give its result.

        The task is published once, on its own queue and with its own options, and no worker waits for it. Its workers
        need not know this package. An error of the task is raised as ``StepError``. Its own policy says whether it is
        tried again (``autoretry_for``, say); this step is not.

        When the run is cancelled, or the time is up, the task is revoked: one that has not begun does not run.

        Args:
            step_id: the step's id.
            signature: what to do, such as ``charge.s(amount)``; its arguments have to be JSON.
            timeout: how long to wait for it, in milliseconds or as a timedelta; a year, if left out.

        Raises:
            StepError: the task failed, was revoked, or did not end in time (``CeleryTaskTimeoutError``).
            StepInvalidError: the signature cannot be kept as JSON, or is none.

        Example::

            receipt = await ctx.step.celery("charge", charge.s(amount), timeout=timedelta(hours=1))
            report = await ctx.step.celery("report", chord([fetch.s(vendor) for vendor in vendors], merge.s()))
        """
        return await self._session.reach(self._build.celery(step_id, signature, timeout))

    async def invoke(
        self,
        step_id: str,
        *,
        function: Function[T],
        data: Mapping[str, object] | None = None,
        timeout: int | datetime.timedelta | None = None,
        v: str | None = None,
    ) -> T:
        """Run another function and give its result.

        Args:
            step_id: the step's id.
            function: the function.
            data: its event's data.
            timeout: how long to wait for it, in milliseconds or as a timedelta; a year, if left out.
            v: the version of the data.

        Example: ``total = await ctx.step.invoke("sum", function=add_up, data={"numbers": [1, 2]})``

        Mirrors https://www.inngest.com/docs/reference/python/steps/invoke
        """
        call = self._build.invoke(step_id, calls.full_id(step_id, function), data, timeout, v)
        return cast(T, self._build.revive(await self._session.reach(call), function.output_type))

    async def invoke_by_id(
        self,
        step_id: str,
        *,
        app_id: str | None = None,
        function_id: str,
        data: Mapping[str, object] | None = None,
        timeout: int | datetime.timedelta | None = None,
        v: str | None = None,
    ) -> object:
        """Run a function that is known by its id only, perhaps of another app, and give its result as JSON.

        Args:
            step_id: the step's id.
            app_id: the function's app; this one, if left out.
            function_id: the function's id within its app.
            data, timeout, v: as in :meth:`invoke`.

        Mirrors https://www.inngest.com/docs/reference/python/steps/invoke_by_id
        """
        return await self._session.reach(self._build.invoke_by_id(step_id, app_id, function_id, data, timeout, v))

    async def run(
        self,
        step_id: str,
        handler: Callable[[*Ts], Awaitable[T]],
        *handler_args: *Ts,
        output_type: object = EmptySentinel,
        cost: float | Callable[[T], float] | None = None,
        time_limit: float | datetime.timedelta | None = None,
        soft_time_limit: float | datetime.timedelta | None = None,
    ) -> T:
        """Call a handler, once, and give its result.

        Args:
            step_id: the step's id.
            handler: what to do. It is tried again when it raises.
            handler_args: its arguments. For keyword arguments use ``functools.partial``.
            output_type: what the stored result is rebuilt as, with the client's serializer.
            cost: what the step costs of the function's ``budget``, or what tells it from the result, such as
                ``lambda answer: answer.tokens``; a number from 0 up. Without a budget it counts for nothing.
            time_limit: seconds, or a timedelta, after which the process that executes the handler is killed, whatever
                it does: the attempt has failed (``step_time_limit``), and the run goes on by its retries. It counts
                from when a worker takes the step up, in a message of its own. It takes Celery's prefork pool. What
                the function's ``celery_options`` say, if left out.
            soft_time_limit: the same, but ``SoftTimeLimitExceeded`` is raised in the handler; one that is async is
                cancelled.

        Example: ``user = await ctx.step.run("load", load_user, 7)``

        Mirrors https://www.inngest.com/docs/reference/python/steps/run
        """
        call = self._build.run(step_id, handler, handler_args, output_type, cost, time_limit, soft_time_limit)
        return cast(T, self._build.revive(await self._session.reach(call), output_type))

    async def send_event(self, step_id: str, events: Event | list[Event]) -> list[str]:
        """Send events, once, and give their ids. They are stored together with the step's result.

        Example: ``await ctx.step.send_event("tell", inngest.Event(name="shop/order.paid"))``

        Mirrors https://www.inngest.com/docs/reference/python/steps/send-event
        """
        return calls.event_ids(await self._session.reach(self._build.send_event(step_id, events)))

    async def sleep(self, step_id: str, duration: int | datetime.timedelta) -> None:
        """Go on later: after so many milliseconds, or a timedelta; up to 366 days.

        Example: ``await ctx.step.sleep("a while", datetime.timedelta(days=3))``

        Mirrors https://www.inngest.com/docs/reference/python/steps/sleep
        """
        await self._session.reach(self._build.sleep(step_id, duration))

    async def sleep_until(self, step_id: str, until: datetime.datetime) -> None:
        """Go on at an instant; without a zone it is local time. One that is past goes on at once.

        Mirrors https://www.inngest.com/docs/reference/python/steps/sleep-until
        """
        await self._session.reach(self._build.sleep_until(step_id, until))

    async def transaction(
        self,
        step_id: str,
        handler: Callable[[SqlSession, *Ts], T],
        *handler_args: *Ts,
        output_type: object = EmptySentinel,
        cost: float | Callable[[T], float] | None = None,
    ) -> T:
        """Call a handler in a database transaction, and commit what it writes together with its result.

        Both are there or neither is, whatever crashes: unlike ``run``, the handler's effect on the database happens
        exactly once. Business tables have to be in the database that ``inngest_database_url`` names.

        If the handler raises, the transaction is rolled back and the attempt has failed. If the run was cancelled
        meanwhile, or the worker has lost its lease, it is rolled back too. After a deadlock or a failed serialisation
        the handler is called again, in a new transaction. The handler must not commit or roll back; a savepoint
        (``session.begin_nested()``) it may have. ``client.send_sync(event, session=session)`` takes part.

        Args:
            step_id: the step's id.
            handler: a plain function, also in an async function: it runs in the worker's thread, beside the event
                loop. Its first argument is a ``sqlalchemy.orm.Session``. What
                :func:`inngest_celery.django.atomic_step` has made gets none, and uses Django's connection.
            handler_args: its further arguments.
            output_type, cost: as in :meth:`run`.

        Raises:
            StepInvalidError: the handler is async, or no function.
            StepError: the step has failed for good. Its ``name`` is ``TransactionMisusedError`` if the handler ended
                the transaction.

        Example::

            def book(session: Session, room: int) -> int:
                session.execute(update(rooms).where(rooms.c.id == room).values(free=False))
                return room

            await ctx.step.transaction("book", book, 7)
        """
        call = self._build.transaction(step_id, handler, handler_args, output_type, cost)
        return cast(T, self._build.revive(await self._session.reach(call), output_type))

    async def wait_for_event(
        self, step_id: str, *, event: str, if_exp: str | None = None, timeout: int | datetime.timedelta
    ) -> Event | None:
        """Go on when an event arrives; gives it, or None when the time is up.

        Args:
            step_id: the step's id.
            event: the event's name.
            if_exp: an expression over ``event`` (what started the run) and ``async`` (what arrives).
            timeout: how long to wait, in milliseconds or as a timedelta; up to 366 days.

        Example::

            paid = await ctx.step.wait_for_event(
                "paid", event="shop/paid", if_exp="event.data.order == async.data.order", timeout=3_600_000
            )

        Mirrors https://www.inngest.com/docs/reference/python/steps/wait-for-event
        """
        return calls.event(await self._session.reach(self._build.wait_for_event(step_id, event, if_exp, timeout)))


class StepSync:
    """The steps of a function that is not async; see :class:`Step`."""

    def __init__(self, client: Inngest, session: Session) -> None:
        self._session = session
        self._build = StepBuilder(client, session, is_async=False)
        self.ai = AISync(self)

    def celery(self, step_id: str, signature: Signature, *, timeout: int | datetime.timedelta | None = None) -> Any:
        """Have a Celery task done by its own workers, and give its result; see :meth:`Step.celery`."""
        return self._session.reach_sync(self._build.celery(step_id, signature, timeout))

    def invoke(
        self,
        step_id: str,
        *,
        function: Function[T],
        data: Mapping[str, object] | None = None,
        timeout: int | datetime.timedelta | None = None,
        v: str | None = None,
    ) -> T:
        """Run another function and give its result; see :meth:`Step.invoke`."""
        call = self._build.invoke(step_id, calls.full_id(step_id, function), data, timeout, v)
        return cast(T, self._build.revive(self._session.reach_sync(call), function.output_type))

    def invoke_by_id(
        self,
        step_id: str,
        *,
        app_id: str | None = None,
        function_id: str,
        data: Mapping[str, object] | None = None,
        timeout: int | datetime.timedelta | None = None,
        v: str | None = None,
    ) -> object:
        """Run a function that is known by its id only; see :meth:`Step.invoke_by_id`."""
        return self._session.reach_sync(self._build.invoke_by_id(step_id, app_id, function_id, data, timeout, v))

    def run(
        self,
        step_id: str,
        handler: Callable[[*Ts], T],
        *handler_args: *Ts,
        output_type: object = EmptySentinel,
        cost: float | Callable[[T], float] | None = None,
        time_limit: float | datetime.timedelta | None = None,
        soft_time_limit: float | datetime.timedelta | None = None,
    ) -> T:
        """Call a handler, once, and give its result; see :meth:`Step.run`."""
        call = self._build.run(step_id, handler, handler_args, output_type, cost, time_limit, soft_time_limit)
        return cast(T, self._build.revive(self._session.reach_sync(call), output_type))

    def send_event(self, step_id: str, events: Event | list[Event]) -> list[str]:
        """Send events, once, and give their ids; see :meth:`Step.send_event`."""
        return calls.event_ids(self._session.reach_sync(self._build.send_event(step_id, events)))

    def sleep(self, step_id: str, duration: int | datetime.timedelta) -> None:
        """Go on later; see :meth:`Step.sleep`."""
        self._session.reach_sync(self._build.sleep(step_id, duration))

    def sleep_until(self, step_id: str, until: datetime.datetime) -> None:
        """Go on at an instant; see :meth:`Step.sleep_until`."""
        self._session.reach_sync(self._build.sleep_until(step_id, until))

    def transaction(
        self,
        step_id: str,
        handler: Callable[[SqlSession, *Ts], T],
        *handler_args: *Ts,
        output_type: object = EmptySentinel,
        cost: float | Callable[[T], float] | None = None,
    ) -> T:
        """Call a handler in a transaction that records its result, too; see :meth:`Step.transaction`."""
        call = self._build.transaction(step_id, handler, handler_args, output_type, cost)
        return cast(T, self._build.revive(self._session.reach_sync(call), output_type))

    def wait_for_event(
        self, step_id: str, *, event: str, if_exp: str | None = None, timeout: int | datetime.timedelta
    ) -> Event | None:
        """Go on when an event arrives, or with None when the time is up; see :meth:`Step.wait_for_event`."""
        return calls.event(self._session.reach_sync(self._build.wait_for_event(step_id, event, if_exp, timeout)))


class AI:
    """``ctx.step.ai``: calls to models."""

    def __init__(self, step: Step) -> None:
        self._step = step

    async def infer(
        self,
        step_id: str,
        *,
        adapter: BaseAdapter,
        body: dict[str, Any],
        cost: float | Callable[[dict[str, Any]], float] | None = None,
    ) -> dict[str, Any]:
        """Call a model, once, and give its answer as JSON. The worker waits for it, as in ``run``.

        Args:
            step_id: the step's id.
            adapter: the model, see ``inngest_celery.experimental.ai``.
            body: the request, in the model's own format.
            cost: as in :meth:`Step.run`.

        Mirrors https://www.inngest.com/docs/features/inngest-functions/steps-workflows/step-ai-orchestration
        """
        return calls.answer(await self._step._session.reach(self._step._build.infer(step_id, adapter, body, cost)))


class AISync:
    """``ctx.step.ai`` of a function that is not async; see :class:`AI`."""

    def __init__(self, step: StepSync) -> None:
        self._step = step

    def infer(
        self,
        step_id: str,
        *,
        adapter: BaseAdapter,
        body: dict[str, Any],
        cost: float | Callable[[dict[str, Any]], float] | None = None,
    ) -> dict[str, Any]:
        """Call a model, and give its answer as JSON; see :meth:`AI.infer`."""
        return calls.answer(self._step._session.reach_sync(self._step._build.infer(step_id, adapter, body, cost)))
