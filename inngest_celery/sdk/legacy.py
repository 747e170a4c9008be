"""Names of Celery tasks that a function takes over, and what their arguments become."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inngest_celery.sdk.errors import ErrorCode, EventInvalidError, FunctionConfigInvalidError

_LONGEST = 255
_OURS = ("celery.", "inngest.")


@dataclass(frozen=True, slots=True)
class Legacy:
    """A Celery task whose callers are to start a function, and what its arguments are called.

    Args:
        name: the task's name, as messages carry it.
        parameters: what the positional arguments become in the event's data, in their order. Keyword arguments keep
            their names. Without this and ``data``, one dict is the data itself, and other positional arguments stand
            in a list under ``args``.
        data: gives the event's data from the call's arguments, where names are not enough.

    Example: ``Legacy("proj.tasks.onboard", parameters=("user_id", "plan"))``
    """

    name: str
    parameters: Sequence[str] = ()
    data: Callable[..., Mapping[str, Any]] | None = None

    @property
    def maps(self) -> bool:
        """Whether it says anything of arguments."""
        return bool(self.parameters) or self.data is not None

    def data_of(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Make an event's data of a call.

        Raises:
            EventInvalidError: the arguments do not fit the parameters, or ``data`` gave no dict (``call_invalid``).
        """
        if self.data is not None:
            return self._mapped(self.data, args, kwargs)
        if self.parameters:
            return self._named(args, kwargs)
        if len(args) == 1 and isinstance(args[0], dict):
            return {**args[0], **kwargs}
        return {**({"args": list(args)} if args else {}), **kwargs}

    def _mapped(
        self, data: Callable[..., Mapping[str, Any]], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> dict[str, Any]:
        try:
            given: object = data(*args, **kwargs)
        except TypeError as error:
            raise _refused(f"{self.name} was called with arguments that data= does not take: {error}") from error
        if not isinstance(given, Mapping):
            raise _refused(f"data= of {self.name} gave {type(given).__name__}; let it give a dict")
        return dict(given)

    def _named(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        names = list(self.parameters)
        if len(args) > len(names):
            raise _refused(
                f"{self.name} was called with {len(args)} positional arguments, and parameters= names {len(names)}"
            )
        named = dict(zip(names, args, strict=False))
        twice = sorted(named.keys() & kwargs.keys())
        if twice:
            raise _refused(f"{self.name} was called with {twice[0]!r} both by position and by name")
        return {**named, **kwargs}


def check(replaces: object, task_name: str) -> list[Legacy]:
    """Give what ``replaces=`` says as a list.

    Raises:
        FunctionConfigInvalidError: it cannot be used (code ``replaces_invalid``).

    Example:
        >>> check("proj.tasks.onboard", "proj/onboard")
        [Legacy(name='proj.tasks.onboard', parameters=(), data=None)]
    """
    if replaces is None:
        return []
    given: list[object] = list(replaces) if isinstance(replaces, list | tuple) else [replaces]
    checked: list[Legacy] = []
    for position, each in enumerate(given):
        path = f"replaces[{position}]" if isinstance(replaces, list | tuple) else "replaces"
        legacy = Legacy(each) if isinstance(each, str) else each
        if not isinstance(legacy, Legacy):
            raise _invalid(
                path, f'takes a task\'s name such as "proj.tasks.onboard", or a Legacy, not {type(each).__name__}'
            )
        problem = _problem(legacy, task_name, {known.name for known in checked})
        if problem:
            raise _invalid(path, problem)
        checked.append(legacy)
    return checked


def _problem(legacy: Legacy, task_name: str, before: set[str]) -> str | None:
    name: object = legacy.name
    if not isinstance(name, str) or not name.strip() or len(name) > _LONGEST:
        return f'a task\'s name has 1 to {_LONGEST} characters, such as "proj.tasks.onboard"; this is {name!r}'
    if name.startswith(_OURS):
        return f"{name!r} is a task of Celery's or of inngest_celery's own"
    if name == task_name:
        return f"{name!r} is the function's own task; it needs no other name for it"
    if name in before:
        return f"{name!r} is named twice"
    return _problem_of_arguments(legacy)


def _problem_of_arguments(legacy: Legacy) -> str | None:
    parameters: object = legacy.parameters
    if legacy.data is not None:
        if not callable(legacy.data):
            return f"data takes a function of the call's arguments, not {type(legacy.data).__name__}"
        return "give parameters or data, not both" if parameters else None
    if isinstance(parameters, str) or not isinstance(parameters, Sequence):
        return f'parameters takes names such as ("user_id", "plan"), not {parameters!r}'
    if not all(isinstance(each, str) and each.isidentifier() for each in parameters):
        return f"parameters are names of arguments, such as user_id; these are {list(parameters)!r}"
    if len(set(parameters)) != len(parameters):
        return f"parameters names one argument twice: {list(parameters)!r}"
    return None


def _invalid(path: str, message: str) -> FunctionConfigInvalidError:
    return FunctionConfigInvalidError(message, path=path, code=ErrorCode.REPLACES_INVALID)


def _refused(message: str) -> EventInvalidError:
    return EventInvalidError(message, index=None, field="data", code=ErrorCode.CALL_INVALID)
