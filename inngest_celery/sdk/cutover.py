"""Moving calls from old code to a durable function: in its shadow first, then by percentage."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inngest_celery.sdk import limits, rules
from inngest_celery.sdk.config import TriggerEvent
from inngest_celery.sdk.errors import FunctionConfigInvalidError
from inngest_celery.sdk.function import Function
from inngest_celery.sdk.stubs import Stubs

if TYPE_CHECKING:
    from celery.canvas import Signature
    from celery.result import AsyncResult, GroupResult

# What begins a run in the shadow, and what makes its comparison with the old code's answer.
BEGUN = "inngest/shadow.begun"
ANSWERED = "inngest/shadow.answered"
_MOST_PERCENT = 100.0

Compare = Callable[[Any, Any], bool]


@dataclass(frozen=True, slots=True)
class Shares:
    """How many of the calls a function takes, and how many of the others run in its shadow, in percent."""

    percent: float
    shadow: float


@dataclass(frozen=True)
class CutoverOpts:
    """How calls move, as given to ``Inngest.cutover``.

    Attributes:
        shares: how many, where nobody has set others.
        key: an expression over ``args`` and ``kwargs``: calls with the same value go the same way.
        compare: tells whether two outputs are the same, the old one first; if left out, they have to be equal as JSON.
    """

    shares: Shares
    key: str | None
    compare: Compare | None


@dataclass(frozen=True)
class Cutover:
    """Old code whose calls are moving to a function.

    Attributes:
        function: takes the calls over.
        opts: how, as the code says.
        old: the Celery task, or the function that makes a canvas.
        shadow: the same function without effects.
        comparison: compares what both gave.
    """

    function: Function[Any]
    opts: CutoverOpts
    old: Any
    shadow: Function[Any]
    comparison: Function[Any]

    @property
    def name(self) -> str:
        """The old code's name, under which percentages are set: a task's, or a function's with its module.

        To ask for it makes the task, so it is asked for when the app is ready.
        """
        return str(getattr(self.old, "name", None) or f"{self.old.__module__}.{self.old.__qualname__}")

    def data_of(self, args: Any, kwargs: Any) -> dict[str, Any]:
        """Give the data of the event for a call: its arguments, by the names that the old code has for them.

        Raises:
            TypeError: the old code does not take these arguments.
        """
        signature = inspect.signature(getattr(self.old, "run", self.old))
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        data: dict[str, Any] = {}
        for name, value in bound.arguments.items():
            kind = signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_KEYWORD:
                data.update(value)
            else:
                data[name] = list(value) if kind is inspect.Parameter.VAR_POSITIONAL else value
        return data


@dataclass(frozen=True)
class CanvasCutover(Cutover):
    """What ``Inngest.cutover`` makes of a function that builds a canvas: call it as a task."""

    def delay(self, *args: Any, **kwargs: Any) -> AsyncResult | GroupResult:
        """Start the canvas or the function, as ``delay`` of a task does."""
        return self.apply_async(args, kwargs)

    def apply_async(self, args: Any = (), kwargs: Any = None) -> AsyncResult | GroupResult:
        """Start the canvas or the function.

        Args:
            args, kwargs: what the canvas is built from.

        Returns:
            Celery's result, of the one or the other.
        """
        from inngest_celery.worker.cutover import start

        return start(self, tuple(args), dict(kwargs or {}))

    def __call__(self, *args: Any, **kwargs: Any) -> Signature:
        """Build the canvas, as the old code does."""
        canvas: Signature = self.old(*args, **kwargs)
        return canvas


def kind_of(old: object) -> type[Cutover]:
    """Give what is made of some old code: a task stays one.

    Raises:
        FunctionConfigInvalidError: it is neither a task nor a function.
    """
    if limits.is_task(old):
        return Cutover
    if inspect.isfunction(old):
        return CanvasCutover
    raise FunctionConfigInvalidError(
        "put @client.cutover(...) above @app.task or @shared_task, or above a function that builds a canvas, "
        f"not {old!r}",
        path="cutover",
    )


def check(*, percent: object, shadow: object, key: str | None, compare: Compare | None) -> CutoverOpts:
    """Give the options.

    Raises:
        FunctionConfigInvalidError: one cannot be used; ``path`` names it.
    """
    if compare is not None and not callable(compare):
        raise FunctionConfigInvalidError(f"a function of two outputs, not {compare!r}", path="cutover.compare")
    for path, code, message in rules.expression_problems(key, "cutover.key", limits.CALL):
        raise FunctionConfigInvalidError(message, path=path, code=code)
    return CutoverOpts(Shares(_share("percent", percent), _share("shadow", shadow)), key, compare)


def _share(name: str, value: object) -> float:
    """Give a percentage.

    Raises:
        FunctionConfigInvalidError: it is none.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        share = float(value)
        if math.isfinite(share) and 0 <= share <= _MOST_PERCENT:
            return share
    raise FunctionConfigInvalidError(f"a percentage is a number from 0 to 100, not {value!r}", path=f"cutover.{name}")


def without_effects(function: Function[Any], stubs: Mapping[str, object], execute: Collection[str]) -> Function[Any]:
    """Make the same function without effects, as one of its own, which shadows a call.

    Raises:
        FunctionConfigInvalidError: a step is in both lists.
    """
    if isinstance(execute, str) or not all(isinstance(each, str) for each in [*stubs, *execute]):
        raise FunctionConfigInvalidError(
            'stubs= is a dict by step id, execute= a list of step ids, such as ["load-user"]', path="cutover.execute"
        )
    both = sorted(stubs.keys() & set(execute))
    if both:
        raise FunctionConfigInvalidError(
            f"the step {both[0]!r} is to be executed, and to give a stub: leave one of them out", path="cutover.execute"
        )
    begun = TriggerEvent(event=BEGUN, expression=f"event.data._inngest.shadow == '{function.id}'")
    return Function(
        function.client,
        function.companion_opts("shadow", retries=function.opts.retries),
        [begun],
        function.handler,
        function.output_type,
        function.middleware,
        function.celery_options,
        stubs=Stubs(stubs, execute),
    )


def comparing(function: Function[Any], opts: CutoverOpts) -> Function[Any]:
    """Make the function that compares what the old code and the new one gave."""
    from inngest_celery.sdk.context import ContextSync

    def compare(ctx: ContextSync) -> dict[str, object]:
        from inngest_celery.worker.comparing import compare

        return compare(ctx, function.client.celery, opts.compare)

    answered = TriggerEvent(event=ANSWERED, expression=f"event.data.function_id == '{function.id}'")
    return Function(
        function.client,
        function.companion_opts("comparison", retries=4),
        [answered],
        compare,
        celery_options=function.celery_options,
    )
