"""Names of Celery tasks that functions have taken over: each is a task of ours now, and nobody else's.

Of two tasks under one name Celery keeps whichever is made first, without a word, and tasks are made late: when the app
is first used, from decorators of all kinds, in whatever order modules were imported. So a name that is taken is looked
for where the function is defined, and again when a worker has imported all that it will.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from celery import Celery

from inngest_celery.sdk.errors import ErrorCode, FunctionConfigInvalidError
from inngest_celery.worker import registry
from inngest_celery.worker.registry import functions_of

if TYPE_CHECKING:
    from inngest_celery.sdk.function import Function

_WATCHED = "inngest_task_from_fun"
_DOUBLES = "inngest_doubles"


def replaced_by(app: Celery) -> dict[str, Function[Any]]:
    """Give the functions of an app by the names that they have taken over."""
    return {legacy.name: function for function in functions_of(app).values() for legacy in function.replaces}


def queue_of(app: Celery, name: str) -> str:
    """Give the queue that messages under a name come from, as this app routes them."""
    return registry.queue_of(app, name, {}, str(app.conf.task_default_queue))


def refuse_taken(app: Celery, function: Function[Any]) -> None:
    """Refuse a function that replaces what is another function's, or what is still a task, as far as that shows yet.

    Raises:
        FunctionConfigInvalidError: the name is taken (code ``task_name_taken``).
    """
    others = {name: other for name, other in replaced_by(app).items() if other.id != function.id}
    own = {other.task_name: other for other in functions_of(app).values()}
    for legacy in function.replaces:
        other = others.get(legacy.name) or own.get(legacy.name)
        if other is not None:
            raise _taken(legacy.name, function, f"the function {other.id}")
        where = _task_at(app, legacy.name)
        if where is not None:
            raise _taken(legacy.name, function, where)


def watch(app: Celery) -> None:
    """Note whoever makes a task under a name that is a function's. All of Celery's decorators end there."""
    if _WATCHED in app.__dict__:
        return
    make: Callable[..., Any] = app._task_from_fun
    app.__dict__[_WATCHED] = make

    def make_and_note(fun: Any, name: str | None = None, base: Any = None, **options: Any) -> Any:
        wanted = name or app.gen_task_name(fun.__name__, fun.__module__)
        if wanted in replaced_by(app):
            other = _place_of_other(_made(app).get(wanted)) if _is_ours(base) else _place_of(fun)
            if other is not None:
                _doubles(app)[wanted] = other
        return make(fun, name=name, base=base, **options)

    app.__dict__["_task_from_fun"] = make_and_note


def check(app: Celery) -> None:
    """Refuse to work for an app that has a task under a name which is a function's.

    Raises:
        FunctionConfigInvalidError: it has (code ``task_name_taken``).
    """
    for error in problems(app):
        raise error


def problems(app: Celery) -> Iterator[FunctionConfigInvalidError]:
    """Give what is wrong with the names, now that all tasks are made."""
    tasks = app.tasks
    for name, function in replaced_by(app).items():
        other = _doubles(app).get(name) or _place_of_other(tasks.get(name))
        if other is not None:
            yield _taken(name, function, other)


def _doubles(app: Celery) -> dict[str, str]:
    return app.__dict__.setdefault(_DOUBLES, {})  # type: ignore[no-any-return]


def _task_at(app: Celery, name: str) -> str | None:
    """Give where the task of a name is defined, if it is known by now. Nothing is made by asking."""
    other = _place_of_other(_made(app).get(name))
    if other is not None:
        return other
    for promise in app._pending:
        try:
            (fun, *_) = object.__getattribute__(promise, "_Proxy__args")
            options = object.__getattribute__(promise, "_Proxy__kwargs")
        except (AttributeError, ValueError):
            # It is made already, or is no task's.
            continue
        if _is_ours(options.get("base")):
            continue
        if (options.get("name") or app.gen_task_name(fun.__name__, fun.__module__)) == name:
            return _place_of(fun)
    return None


def _made(app: Celery) -> Any:
    """Give the tasks that are made by now. To ask for ``app.tasks`` would make all."""
    return app._tasks


def _is_ours(base: object) -> bool:
    return getattr(base, "inngest_function_id", None) is not None


def _place_of_other(task: object) -> str | None:
    """Give where a task is defined that is not ours; ``None`` if it is, or there is none."""
    if task is None or _is_ours(type(task)):
        return None
    return _place_of(getattr(task, "run", task))


def _place_of(fun: object) -> str:
    fun = getattr(fun, "__wrapped__", fun)
    module, name = getattr(fun, "__module__", None), getattr(fun, "__qualname__", type(fun).__qualname__)
    return f"the task {module}.{name}" if module else f"the task {name}"


def _taken(name: str, function: Function[Any], where: str) -> FunctionConfigInvalidError:
    return FunctionConfigInvalidError(
        f"{function.id} replaces the task {name!r}, but {where} has this name still, and Celery would keep one of "
        "them, without a word. Remove the old task or its decorator; to keep its code, give it another name=.",
        path="replaces",
        code=ErrorCode.TASK_NAME_TAKEN,
    )
