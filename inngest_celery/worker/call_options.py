"""The options of one ``apply_async``: a run is many messages, and each of them carries what may be carried on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inngest_celery.sdk.errors import ErrorCode, FunctionConfigInvalidError
from inngest_celery.sdk.jsonable import find_problem

if TYPE_CHECKING:
    from celery import Task
    from celery.app.task import Context

_OF_THE_FUNCTION = "set it for the function, with create_function(celery_options=...)"
# Options of one message, which would be lost without a word.
_INSTEAD = {
    "exchange": _OF_THE_FUNCTION,
    "expires": "use create_function(timeouts=Timeouts(start=...))",
    "queue": _OF_THE_FUNCTION,
    "routing_key": _OF_THE_FUNCTION,
    "soft_time_limit": _OF_THE_FUNCTION,
    "time_limit": _OF_THE_FUNCTION,
}
_OURS = "inngest_"
_MOST_PRIORITY = 255


def checked(task: Task, options: Mapping[str, Any]) -> dict[str, Any]:
    """Give those options of a call that all messages of its run carry: its priority and its headers.

    Raises:
        FunctionConfigInvalidError: an option belongs to one message, or cannot be carried (``celery_option_invalid``).
    """
    for name, instead in _INSTEAD.items():
        if options.get(name) is not None:
            raise _refused(name, f"a call of {task.name} starts a run, which is many messages: {instead}")
    priority, headers = options.get("priority"), options.get("headers")
    if priority is not None and (type(priority) is not int or not 0 <= priority <= _MOST_PRIORITY):
        raise _refused("priority", f"a priority is an int from 0 to {_MOST_PRIORITY}, not {priority!r}")
    problem = _problem_of(headers)
    if problem is not None:
        raise _refused("headers", f"headers are kept in the database for all messages of a run: {problem}")
    return _carried(priority, headers)


def of_request(request: Context) -> dict[str, Any]:
    """Give what a message that started a run carried, and the messages of the run are to carry on."""
    # Transports fill in 0 where none was given.
    priority = (request.delivery_info or {}).get("priority") or None
    headers = {name: value for name, value in (request.headers or {}).items() if not name.startswith(_OURS)}
    return _carried(priority, None if _problem_of(headers) else headers)


def carried(message: str | None) -> dict[str, Any]:
    """Read what a job's messages carry."""
    options: dict[str, Any] = json.loads(message) if message else {}
    return options


def ignores_result(task: Task, of_the_call: bool | None) -> bool:
    """Tell whether nobody wants a call's result: as the call says, else as its task does."""
    return bool(task.ignore_result if of_the_call is None else of_the_call)


def _carried(priority: int | None, headers: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        **({"priority": priority} if priority is not None else {}),
        **({"headers": dict(headers)} if headers else {}),
    }


def _problem_of(headers: object) -> str | None:
    if headers is None:
        return None
    if not isinstance(headers, Mapping) or not all(isinstance(name, str) for name in headers):
        return f'give a dict such as {{"tenant": "acme"}}, not {headers!r}'
    ours = next((name for name in headers if name.startswith(_OURS)), None)
    if ours is not None:
        return f"{ours!r} begins as those that mark messages of inngest_celery; give it another name"
    found = find_problem(dict(headers))
    return f"{found} is not JSON; give its text" if found else None


def _refused(option: str, message: str) -> FunctionConfigInvalidError:
    return FunctionConfigInvalidError(message, path=option, code=ErrorCode.CELERY_OPTION_INVALID)
