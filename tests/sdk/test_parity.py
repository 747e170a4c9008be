"""The official package's public names are here, with the same signatures. What differs is listed, and nothing else."""

from __future__ import annotations

import enum
import importlib
import inspect
from collections.abc import Set
from typing import Any

import inngest as official
import pytest
from inngest import experimental as official_experimental
from inngest._internal import const, errors, middleware_lib, server_lib, step_lib
from inngest.experimental import mocked as official_mocked

import inngest_celery as ours
from inngest_celery import _internal as our_internals
from inngest_celery import experimental
from inngest_celery.experimental import mocked

# What we add: (class, method) → parameters.
OUR_PARAMETERS = {
    ("Inngest", "__init__"): {"celery"},
    ("Inngest", "create_function"): {"budget", "celery_options", "replaces", "shared_limits"},
    ("Inngest", "send"): {"session"},
    ("Inngest", "send_sync"): {"session"},
    ("Step", "run"): {"cost", "soft_time_limit", "time_limit"},
    ("StepSync", "run"): {"cost", "soft_time_limit", "time_limit"},
    ("Context", "__init__"): {"max_attempts"},
    ("ContextSync", "__init__"): {"max_attempts"},
}
# Classes that only we, or only the official package's own adapters, make: their constructors take other things.
MADE_INSIDE = {"Step", "StepSync", "Function"}
# These take the official package's own machinery as arguments.
NOT_OURS = {("Function", "call"), ("Function", "call_sync")}
# Serializing durations is a validator's business here, and models' settings are no API.
MODEL_INSIDES = ("serialize_", "model_", "convert_validation_error")


def is_enum(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, enum.Enum)


Parameter = tuple[str, str, str]
CLASSES = sorted(name for name in official.__all__ if inspect.isclass(getattr(official, name)))


def members(cls: type) -> dict[str, object]:
    found: dict[str, object] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.partition(".")[0] == "inngest":
            found |= vars(base)
    return {name: value for name, value in found.items() if not name.startswith(("_", *MODEL_INSIDES))}


METHODS = [
    (name, member)
    for name in CLASSES
    for member, value in members(getattr(official, name)).items()
    if (callable(value) or isinstance(value, property | classmethod))
    and not isinstance(value, enum.Enum)
    and (name, member) not in NOT_OURS
]
CONSTRUCTORS = [name for name in CLASSES if name not in MADE_INSIDE and not is_enum(getattr(official, name))]


def shape(function: Any, extra: Set[str] = frozenset()) -> list[Parameter]:
    """Names, kinds and defaults. The official models list ``*args`` only to refuse them."""
    return [
        (parameter.name, parameter.kind.name, default_of(parameter))
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name not in extra and not (parameter.name == "args" and function in CONFIG_MODELS)
    ]


CONFIG_MODELS = [getattr(official, name) for name in CLASSES if hasattr(getattr(official, name), "model_fields")]


def default_of(parameter: inspect.Parameter) -> str:
    default = parameter.default
    if isinstance(default, enum.Enum):
        return repr(default.value)
    if inspect.isclass(default) and default is not inspect.Parameter.empty:
        return default.__name__
    return repr(default)


def sort_keywords(parameters: list[Parameter]) -> list[Parameter]:
    """The order of keyword-only parameters means nothing."""
    rest = [parameter for parameter in parameters if parameter[1] != "KEYWORD_ONLY"]
    return rest + sorted(parameter for parameter in parameters if parameter[1] == "KEYWORD_ONLY")


def test_every_official_name_is_here() -> None:
    assert set(official.__all__) <= set(ours.__all__)


def test_all_is_sorted_complete_and_true() -> None:
    assert ours.__all__ == sorted(ours.__all__, key=lambda name: (not name.isupper(), name))
    public = {name for name, value in vars(ours).items() if not name.startswith("_") and not inspect.ismodule(value)}
    assert set(ours.__all__) == public


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_constructors_take_the_same(name: str) -> None:
    theirs, mine = getattr(official, name), getattr(ours, name)
    extra = OUR_PARAMETERS.get((name, "__init__"), set())
    assert sort_keywords(shape(mine, extra)) == sort_keywords(shape(theirs))


@pytest.mark.parametrize(("name", "member"), METHODS)
def test_methods_take_the_same(name: str, member: str) -> None:
    theirs = inspect.getattr_static(getattr(official, name), member)
    mine = inspect.getattr_static(getattr(ours, name), member)
    if isinstance(theirs, property):
        assert isinstance(mine, property)
        return
    theirs, mine = getattr(getattr(official, name), member), getattr(getattr(ours, name), member)
    assert inspect.iscoroutinefunction(theirs) == inspect.iscoroutinefunction(mine)
    extra = OUR_PARAMETERS.get((name, member), set())
    assert sort_keywords(shape(mine, extra)) == sort_keywords(shape(theirs))


def test_what_we_add_is_optional() -> None:
    for (cls, method), extra in OUR_PARAMETERS.items():
        parameters = inspect.signature(getattr(getattr(ours, cls), method)).parameters
        assert all(parameters[parameter].default is not inspect.Parameter.empty for parameter in extra)


@pytest.mark.parametrize("name", [name for name in CLASSES if is_enum(getattr(official, name))])
def test_enums_have_the_same_members(name: str) -> None:
    assert values(getattr(ours, name)) == values(getattr(official, name))


@pytest.mark.parametrize("name", ["Group", "GroupSync"])
def test_groups(name: str) -> None:
    mine, theirs = getattr(ours, name).parallel, getattr(step_lib, name).parallel
    assert shape(mine) == shape(theirs)


@pytest.mark.parametrize("name", ["Context", "ContextSync"])
def test_contexts_have_the_same_fields_in_the_same_order(name: str) -> None:
    theirs = list(getattr(official, name).__dataclass_fields__)
    assert list(getattr(ours, name).__dataclass_fields__)[: len(theirs)] == theirs


ERRORS = sorted(
    name
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, errors.Error) and name != "URLInvalidError"
)


@pytest.mark.parametrize("name", ERRORS)
def test_errors_have_the_same_codes(name: str) -> None:
    theirs, mine = getattr(errors, name), getattr(ours, name)
    assert mine.code == theirs.code.value
    assert mine.include_stack == theirs.include_stack
    assert [base.__name__ for base in theirs.__mro__] == [base.__name__ for base in mine.__mro__]
    # Theirs retries a wrong configuration, which cannot help.
    assert mine.is_retriable == (theirs.is_retriable and name != "FunctionConfigInvalidError")


def values(members: type[enum.Enum]) -> dict[str, object]:
    return {name: member.value for name, member in members.__members__.items()}


@pytest.mark.parametrize("name", [name for name in server_lib.__all__ if is_enum(getattr(server_lib, name))])
def test_internal_enums_hold_the_official_members(name: str) -> None:
    mine = importlib.import_module("inngest_celery._internal.server_lib")
    assert values(getattr(server_lib, name)).items() <= values(getattr(mine, name)).items()


def test_environment_variables() -> None:
    mine = importlib.import_module("inngest_celery._internal.const")
    assert values(mine.EnvKey) == values(const.EnvKey)
    for name in ("DEFAULT_API_ORIGIN", "DEFAULT_EVENT_API_ORIGIN", "DEV_SERVER_ORIGIN", "LANGUAGE", "AUTHOR"):
        assert getattr(mine, name) == getattr(const, name)


@pytest.mark.parametrize("module", ["errors", "types", "middleware_lib", "step_lib", "server_lib", "const"])
def test_internal_modules_export_what_they_say(module: str) -> None:
    mine = importlib.import_module(f"{our_internals.__name__}.{module}")
    assert all(hasattr(mine, name) for name in mine.__all__)


def test_internal_middleware_names() -> None:
    mine = importlib.import_module("inngest_celery._internal.middleware_lib")
    # The manager is driven by the official package's own executions only.
    assert set(middleware_lib.__all__) - {"MiddlewareManager"} <= set(mine.__all__)


def test_experimental_names() -> None:
    assert experimental.__all__ == official_experimental.__all__
    for name in experimental.__all__:
        assert shape(getattr(experimental, name)) == shape(getattr(official_experimental, name))


def test_mocked_names() -> None:
    assert set(official_mocked.__all__) <= set(mocked.__all__)
    # What transactional steps run in.
    assert shape(mocked.trigger, {"session"}) == shape(official_mocked.trigger)
    assert values(mocked.Status) == values(official_mocked.Status)


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini", "grok", "deepseek"])
@pytest.mark.parametrize("base_url", [None, "https://proxy.example/v1", "https://proxy.example/v1/"])
@pytest.mark.parametrize("headers", [None, {"x-team": "shop"}])
def test_ai_adapters(provider: str, base_url: str | None, headers: dict[str, str] | None) -> None:
    adapters = [
        importlib.import_module(f"{package}.experimental.ai.{provider}").Adapter(
            auth_key="key", base_url=base_url, headers=headers, model="large"
        )
        for package in ("inngest", "inngest_celery")
    ]
    theirs, mine = (
        (adapter.auth_key(), adapter.format(), adapter.headers(), adapter.url_infer()) for adapter in adapters
    )
    assert mine == theirs
    for body in ({}, {"model": "small"}, {"model": ""}):
        completed = [dict(body), dict(body)]
        for adapter, request in zip(adapters, completed, strict=True):
            adapter.on_call(request)
        assert completed[0] == completed[1]
