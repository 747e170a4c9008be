"""A name that a function has taken over is nobody else's, however and whenever the other task is defined."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery, Task, shared_task
from celery import _state as celery_state

import inngest_celery as inngest
from inngest_celery.worker import legacy_names

NAME = "proj.tasks.onboard"


@pytest.fixture
def app() -> Celery:
    return Celery("proj", broker="memory://", set_as_current=False)


@pytest.fixture
def forget_shared_tasks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Shared tasks are every app's, those of other tests too."""
    monkeypatch.setattr(celery_state, "_on_app_finalizers", set())
    with warnings.catch_warnings():
        # Celery warns of some doubles, too.
        warnings.simplefilter("ignore")
        yield


def define(app: Celery, replaces: Any = NAME, fn_id: str = "onboard") -> inngest.Function[Any]:
    client = inngest.Inngest(app_id="proj", celery=app)

    @client.create_function(fn_id=fn_id, trigger=inngest.TriggerEvent(event="x"), replaces=replaces)
    def onboard(ctx: inngest.ContextSync) -> None:
        return None

    return onboard


def with_decorator(app: Celery) -> None:
    @app.task(name=NAME)  # type: ignore[untyped-decorator]
    def old() -> None: ...


def shared(app: Celery) -> None:
    @shared_task(name=NAME)  # type: ignore[untyped-decorator]
    def old() -> None: ...


def by_its_module(app: Celery) -> None:
    def onboard() -> None: ...

    onboard.__module__ = "proj.tasks"
    app.task(onboard, shared=False)


def as_a_class(app: Celery) -> None:
    class Old(Task):  # type: ignore[misc]
        name = NAME

        def run(self) -> None: ...

    app.register_task(Old())


OLD_TASKS = [with_decorator, shared, by_its_module, as_a_class]


@pytest.mark.usefixtures("forget_shared_tasks")
@pytest.mark.parametrize("define_old", OLD_TASKS)
@pytest.mark.parametrize("first", ["old", "function"])
def test_an_old_task_under_the_name_is_found(app: Celery, define_old: Callable[[Celery], None], first: str) -> None:
    def define_both() -> None:
        if first == "old":
            define_old(app)
        define(app)
        if first == "function":
            define_old(app)
        legacy_names.check(app)

    with pytest.raises(inngest.FunctionConfigInvalidError, match=r"replaces the task 'proj\.tasks\.onboard'") as raised:
        define_both()
    assert raised.value.code == "task_name_taken"


@pytest.mark.usefixtures("forget_shared_tasks")
def test_where_it_can_be_known_it_is_said_where_the_function_is_defined(app: Celery) -> None:
    with_decorator(app)
    assert not app.finalized
    with pytest.raises(inngest.FunctionConfigInvalidError, match="test_legacy_names"):
        define(app)
    assert not app.finalized, "to look makes no task"


@pytest.mark.usefixtures("forget_shared_tasks")
def test_a_name_is_one_functions_and_a_module_may_be_loaded_again(app: Celery) -> None:
    define(app)
    define(app)
    legacy_names.check(app)
    assert app.tasks[NAME].inngest_function_id == "proj-onboard"
    with pytest.raises(inngest.FunctionConfigInvalidError, match="the function proj-onboard has this name"):
        define(app, fn_id="other")
    with pytest.raises(inngest.FunctionConfigInvalidError, match="the function proj-onboard has this name"):
        define(app, replaces="proj/onboard", fn_id="third")


@pytest.mark.parametrize(
    ("replaces", "path", "message"),
    [
        (7, "replaces", "not int"),
        ("", "replaces", "1 to 255 characters"),
        ("celery.chord", "replaces", "Celery's"),
        ("proj/onboard", "replaces", "the function's own task"),
        ([NAME, NAME], "replaces[1]", "named twice"),
        (inngest.Legacy(NAME, parameters="user"), "replaces", "takes names"),
        (inngest.Legacy(NAME, parameters=("user", "user")), "replaces", "twice"),
        (inngest.Legacy(NAME, parameters=("user id",)), "replaces", "names of arguments"),
        (inngest.Legacy(NAME, parameters=("user",), data=dict), "replaces", "not both"),
    ],
)
def test_what_cannot_be_replaced(app: Celery, replaces: Any, path: str, message: str) -> None:
    with pytest.raises(inngest.FunctionConfigInvalidError, match=message) as raised:
        define(app, replaces)
    assert (raised.value.code, raised.value.path) == ("replaces_invalid", path)
    assert "proj/onboard" not in app.tasks


def test_arguments_become_the_events_data() -> None:
    legacy = inngest.Legacy(NAME, parameters=("user", "plan"))
    assert legacy.data_of((7,), {"plan": "gold"}) == {"user": 7, "plan": "gold"}
    assert legacy.data_of(({"id": 7},), {}) == {"user": {"id": 7}}
    assert inngest.Legacy(NAME).data_of(({"user": 7},), {}) == {"user": 7}
    for args, kwargs in [((1, 2, 3), {}), ((1,), {"user": 2})]:
        with pytest.raises(inngest.EventInvalidError) as raised:
            legacy.data_of(args, kwargs)
        assert raised.value.code == "call_invalid"
    with pytest.raises(inngest.EventInvalidError, match="gave list"):
        inngest.Legacy(NAME, data=list).data_of((), {})  # type: ignore[arg-type,return-value]
