"""What the macros do with each item of a list, or each key of a map."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from inngest_celery.engine.expressions import values
from inngest_celery.engine.expressions.errors import EvaluationError
from inngest_celery.engine.expressions.values import truthy

Test: TypeAlias = Callable[[object], object]


def exists(items: Iterable[object], test: Test) -> bool:
    return _decided(items, test, decisive=True)


def for_all(items: Iterable[object], test: Test) -> bool:
    return not _decided(items, test, decisive=False)


def _decided(items: Iterable[object], test: Test, *, decisive: bool) -> bool:
    """Say whether the test gives the decisive answer for an item, be there an error for another."""
    failure: EvaluationError | None = None
    for item in items:
        try:
            if truthy(test(item)) is decisive:
                return True
        except EvaluationError as error:
            failure = failure or error
    if failure:
        raise failure
    return False


def exists_one(items: Iterable[object], test: Test) -> bool:
    return sum(truthy(test(item)) for item in items) == 1


def filter_(items: Iterable[object], test: Test) -> list[object]:
    return [item for item in items if truthy(test(item))]


def map_(items: Iterable[object], first: Test, second: Test | None = None) -> list[object]:
    """Change each item; with two functions, only those that the first one lets through."""
    results: list[object] = []
    size = 0
    for item in items:
        if second and not truthy(first(item)):
            continue
        result = (second or first)(item)
        result = None if result is values.MISSING else result
        size += len(result) if isinstance(result, (str, list)) else 1
        if size > values.MAX_SIZE:
            raise EvaluationError(f"map() makes more than {values.MAX_SIZE} parts")
        results.append(result)
    return results


MACROS: dict[str, Callable[..., object]] = {
    "all": for_all,
    "exists": exists,
    "exists_one": exists_one,
    "filter": filter_,
    "map": map_,
}
