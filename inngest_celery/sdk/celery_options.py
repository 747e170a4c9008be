"""The Celery options that a function may set for its tasks."""

from __future__ import annotations

from collections.abc import Mapping

from inngest_celery.sdk.errors import ErrorCode, FunctionConfigInvalidError

_ALLOWED: dict[str, tuple[type, ...]] = {
    "compression": (str,),
    "exchange": (str,),
    "ignore_result": (bool,),
    "priority": (int,),
    "queue": (str,),
    "rate_limit": (str, int, float),
    "routing_key": (str,),
    "serializer": (str,),
    "soft_time_limit": (int, float),
    "time_limit": (int, float),
    "track_started": (bool,),
}

_INSTEAD = {
    "acks_late": "the worker acknowledges when the step is recorded",
    "autoretry_for": "use retries=, and raise NonRetriableError or RetryAfterError",
    "base": "tasks have a class of their own",
    "bind": "the handler gets a context",
    "countdown": "use step.sleep",
    "eta": "use step.sleep_until, or an event's ts",
    "expires": "use timeouts=Timeouts(start=...)",
    "max_retries": "use retries=",
    "name": "the task's name is <app_id>/<fn_id>",
    "reject_on_worker_lost": "a lost worker's step is taken up again",
    "retry_backoff": "use retries=, and raise RetryAfterError for a delay of your own",
}


def check(options: Mapping[str, object] | None) -> dict[str, object]:
    """Give the options as a dict.

    Raises:
        FunctionConfigInvalidError: an option is unknown or has the wrong type (code ``celery_option_invalid``).

    Example:
        >>> check({"queue": "mail", "time_limit": 60})
        {'queue': 'mail', 'time_limit': 60}
    """
    if options is not None and not isinstance(options, Mapping):
        raise FunctionConfigInvalidError(
            f'takes a dict such as {{"queue": "mail"}}, not {type(options).__name__}',
            path="celery_options",
            code=ErrorCode.CELERY_OPTION_INVALID,
        )
    checked = dict(options or {})
    for name, value in checked.items():
        problem = _problem(name, value)
        if problem:
            raise FunctionConfigInvalidError(
                problem, path=f"celery_options.{name}", code=ErrorCode.CELERY_OPTION_INVALID
            )
    return checked


def _problem(name: str, value: object) -> str | None:
    if name in _INSTEAD:
        return f"cannot be set here: {_INSTEAD[name]}"
    if name not in _ALLOWED:
        return f"no such option; these can be set: {', '.join(_ALLOWED)}"
    kinds = _ALLOWED[name]
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        return f"takes {' or '.join(kind.__name__ for kind in kinds)}, not {type(value).__name__}"
    return None
