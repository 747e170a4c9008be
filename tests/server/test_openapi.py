"""The OpenAPI document is what is served: generated requests, right and wrong, meet no error and no other answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import checks
from schemathesis.config import SchemathesisConfig
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.functions.bench import Bench
from tests.server.scripted import Scripted, done
from tests.server.stage import Stage, staged

pytestmark = [pytest.mark.databases("sqlite"), pytest.mark.brokers("valkey")]

# What a request is refused for may depend on more than its form: a run that has ended, say.
_CHECKS = [
    checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# Sixty find no more, once; these are for what comes later.
_EXAMPLES = 4
_LONG_POLL = "/output"


@schemathesis.serializer("application/protobuf")
def as_bytes(_context: object, value: Any) -> Any:
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.fixture
def stage(database_url: str, redis_url: str) -> Iterator[Stage]:
    # What is asked for by chance is not done.
    bench = Bench(database_url, inngest_redis_url=redis_url)
    with staged(bench) as stage:
        yield stage
    bench.close()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"])
def test_what_is_documented_is_served(stage: Stage, mode: GenerationMode) -> None:
    with Scripted(done("output")).registered(stage):
        run = stage.start("shop/a")
        known = {
            "run_id": run.id,
            "event_id": run.event_id,
            "app_id": "shop",
            "name": "shop",
            "function_id": run.function_id,
            "slug": run.function_id,
        }
        config = SchemathesisConfig.from_dict({"generation": {"deterministic": True, "allow-x00": True}})
        schema = schemathesis.openapi.from_url(f"{stage.url}/openapi.json", config=config)
        problems = []
        for found in schema.get_all_operations():
            operation = found.ok()
            # An id is any text: of what is asked for one only nothing can be wrong.
            asks = operation.query or operation.body
            if operation.path.endswith(_LONG_POLL) or (mode is GenerationMode.NEGATIVE and not asks):
                continue
            problems += _problems(operation, mode, known)
    assert not problems, "\n\n".join(problems)


def _problems(operation: Any, mode: GenerationMode, known: dict[str, str]) -> list[str]:
    problems: list[str] = []

    @seed(1)
    @settings(
        max_examples=_EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), real=st.booleans())
    def call(case: Any, real: bool) -> None:
        if real and case.path_parameters:
            # Ids by chance are those of nothing.
            case.path_parameters = {name: known.get(name, value) for name, value in case.path_parameters.items()}
        response = case.call()
        try:
            case.validate_response(response, checks=_CHECKS)
        except* AssertionError as errors:
            told = "; ".join(str(error) for error in errors.exceptions)
            sent = case.as_curl_command()[:500]
            problems.append(f"{operation.label}: {told}\n{sent}\n{response.status_code} {response.text[:300]}")

    # A webhook takes anything: nothing is wrong for it.
    with suppress(Unsatisfiable):
        call()
    return problems[:1]
