"""Limits on ordinary Celery tasks, as ``Inngest.limit`` takes them."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from inngest_celery.sdk import config, rules
from inngest_celery.sdk.errors import FunctionConfigInvalidError

# No function's id begins like this: an app id and a function id are joined by a hyphen, and this is no app.
TASK_PREFIX = "task:"
# What expressions over a task's call read.
CALL = frozenset({"args", "kwargs", "task"})


class LimitOpts(BaseModel):
    """A task's limits, as given to ``Inngest.limit``."""

    model_config = ConfigDict(strict=True, extra="forbid", arbitrary_types_allowed=True)

    concurrency: list[config.Concurrency] | None = None
    rate_limit: config.RateLimit | None = None
    shared: str | None = None
    throttle: config.Throttle | None = None


@dataclass(frozen=True)
class LimitedTask:
    """A Celery task with limits.

    Attributes:
        app_id: the app of the client that limits it.
        name: the task's name.
        opts: its limits.
    """

    app_id: str
    name: str
    opts: LimitOpts

    @property
    def id(self) -> str:
        """Under which it stands beside the functions."""
        return TASK_PREFIX + self.name

    def wire_config(self) -> dict[str, object]:
        """Give it as it is stored: in the words that functions have for their limits."""
        opts = self.opts
        wire = {
            "id": self.id,
            "name": self.name,
            "task": True,
            "triggers": [],
            "concurrency": [limit.to_dict() for limit in opts.concurrency or []],
            "rateLimit": opts.rate_limit and opts.rate_limit.to_dict(),
            "sharedLimits": opts.shared,
            "throttle": opts.throttle and opts.throttle.to_dict(),
        }
        return {name: value for name, value in wire.items() if value is not None}


def check(**given: object) -> LimitOpts:
    """Give the limits.

    Raises:
        FunctionConfigInvalidError: the first rule that is broken; its ``code`` and ``path`` say which and where.

    Example:
        >>> check(throttle=config.Throttle(limit=10, period=1000), shared="vendor").shared
        'vendor'
    """
    try:
        opts = LimitOpts(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        raise config.config_error(error, "") from None
    if not (opts.concurrency or opts.rate_limit or opts.throttle):
        raise FunctionConfigInvalidError(
            "limits nothing: give throttle=, concurrency= or rate_limit=, such as "
            "throttle=Throttle(limit=10, period=1000)",
            path="limit",
        )
    for problems in (
        rules.concurrency_problems("concurrency", opts.concurrency or [], CALL),
        rules.rate_problems("rate_limit", opts.rate_limit, CALL),
        rules.rate_problems("throttle", opts.throttle, CALL),
        rules.sharing_problems("shared", opts.shared, [opts.throttle, opts.concurrency]),
    ):
        for path, code, message in problems:
            raise FunctionConfigInvalidError(message, code=code, path=path)
    return opts


def check_task(task: object) -> None:
    """Refuse what is no Celery task.

    Raises:
        FunctionConfigInvalidError: it is none; the message says how to write it.
    """
    if is_task(task):
        return
    raise FunctionConfigInvalidError(
        f"put @client.limit(...) above @app.task or @shared_task: it takes a Celery task, not {task!r}. "
        "A durable function takes its limits in create_function.",
        path="limit",
    )


def is_task(given: object) -> bool:
    """Tell whether something is a Celery task, or will be one when the app is ready: nobody may look at it before."""
    from celery import Task
    from celery.local import Proxy

    return issubclass(type(given), Proxy) or isinstance(given, Task)
