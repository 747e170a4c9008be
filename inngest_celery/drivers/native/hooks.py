"""The middleware of one execution, called at the right moments, on the loop or off it."""

from __future__ import annotations

from typing import Any

from inngest_celery.drivers.native.loop import loop_thread
from inngest_celery.sdk.context import Context, ContextSync, FilteredLogger
from inngest_celery.sdk.effects import Work
from inngest_celery.sdk.function import Function
from inngest_celery.sdk.memos import StepMemos
from inngest_celery.sdk.middleware import (
    Middleware,
    MiddlewareChain,
    MiddlewareSync,
    TransformOutputResult,
    TransformOutputStepInfo,
)
from inngest_celery.sdk.session import StepCall
from inngest_celery.sdk.types import EmptySentinel


class Hooks:
    """Calls the hooks of a function's middleware.

    Attributes:
        chain: the middleware, new for this execution.
        live: whether new code is being run; before that, recorded steps are passed again.
        logger: the context's logger, silent until then.
    """

    def __init__(self, function: Function[Any]) -> None:
        self.chain = MiddlewareChain.build(function.client, function)
        self.live = False
        self.logger = FilteredLogger(function.client.logger)
        self._function = function

    @property
    def change_values(self) -> bool:
        """Whether any of them changes what goes in or comes out."""
        return any(_transforms(member) for member in self.chain.members)

    def beginning(self, context: Context | ContextSync, memos: StepMemos) -> None:
        """Before the function is called."""
        self._run(self.chain.transform_input(context, self._function, memos))

    def go_live(self) -> None:
        """Before new code runs. Not for a function's own code to call, which may be on the loop: :meth:`going_live`."""
        if not self.live:
            self._run(self.going_live())

    def going_live(self) -> Work[None]:
        """What :meth:`go_live` does, for whoever runs the hooks himself."""
        self.live = self.logger.live = True
        yield from self.chain.before_execution()

    def step_ended(self, result: TransformOutputResult) -> None:
        """After a step's body. What the live function does next is another execution to the middleware."""
        if not self.chain.members:
            return
        if result.error is None:
            self._run(self.chain.after_execution())
        self.live = False
        self._run(self.chain.transform_output(result))

    def step_leaves(self, call: StepCall) -> None:
        """Before a step that is done elsewhere is recorded. What it takes along, in its options, may be changed."""
        if self.chain.members:
            info = TransformOutputStepInfo(call.step_id, call.op, call.opts)
            self._run(self.chain.transform_output(TransformOutputResult(None, EmptySentinel, info)))

    def function_ended(self, result: TransformOutputResult) -> None:
        """After the function has returned or raised."""
        if not self.chain.members:
            return
        if result.error is None:
            self._run(self.chain.after_execution())
        self._run(self.chain.transform_output(result))

    def before_response(self) -> None:
        """Last of all."""
        if self.chain.members:
            self._run(self.chain.before_response())

    def _run(self, work: Work[None]) -> None:
        if not self.chain.members:
            for _ in work:
                pass
        elif self._function.is_handler_async:
            loop_thread().run(self.chain.run_async(work))
        else:
            self.chain.run_sync(work)


def _transforms(member: Middleware | MiddlewareSync) -> bool:
    return any(
        getattr(type(member), hook) is not getattr(base, hook)
        for base in (Middleware, MiddlewareSync)
        if isinstance(member, base)
        for hook in ("transform_input", "transform_output")
    )
