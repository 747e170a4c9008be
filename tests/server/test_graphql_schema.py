"""Whatever the GraphQL schema lets one ask is answered, with data or with an error that was thought of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from unittest import SkipTest

import graphql
import pytest
import schemathesis
from graphql.language import ast
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.config import SchemathesisConfig
from schemathesis.generation import GenerationMode
from schemathesis.graphql import nodes

from tests.functions.bench import Bench
from tests.server.scripted import Scripted, done, op, steps
from tests.server.stage import Stage, staged

pytestmark = [pytest.mark.databases("sqlite", "postgres"), pytest.mark.brokers("valkey")]

# Eighty find no more; these are for what comes later.
_EXAMPLES = 6
_TEXT = ("Time", "ULID", "UUID", "Bytes", "SpanMetadataKind", "SpanMetadataScope")
_NUMBERS = ("Uint", "Int64")
_JSON = ("Map", "Unknown", "HTTPHeaders", "SpanMetadataValues")


@pytest.fixture
def stage(database_url: str, redis_url: str) -> Iterator[Stage]:
    # What is asked for by chance is not done.
    bench = Bench(database_url, inngest_redis_url=redis_url)
    with staged(bench) as stage:
        yield stage
    bench.close()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"])
def test_whatever_is_asked_is_answered(stage: Stage, mode: GenerationMode) -> None:
    for name in _TEXT:
        schemathesis.graphql.scalar(name, st.text(max_size=30).map(nodes.String))
    for name in _NUMBERS:
        schemathesis.graphql.scalar(name, st.integers().map(nodes.Int))
    for name in _JSON:
        schemathesis.graphql.scalar(name, st.just(nodes.Object(fields=[])))
    app = Scripted(steps(op("StepRun", "first", data={"n": 1})), done("output"))
    with app.registered(stage):
        run = stage.start("shop/a")
        known = {
            **dict.fromkeys(("runID", "runId", "functionRunId"), run.id),
            **dict.fromkeys(("eventId", "id"), run.event_id),
            **dict.fromkeys(("functionSlug", "slug"), run.function_id),
            "name": "shop/a",
            "from": "2020-01-01T00:00:00Z",
        }
        config = SchemathesisConfig.from_dict({"generation": {"deterministic": True, "allow-x00": True}})
        url = f"{stage.url}/v0/gql"
        schema = schemathesis.graphql.from_url(url, config=config)
        asked = [_ask(stage, found.ok(), mode, known) for found in schema.get_all_operations()]
    problems = [problem for each in asked for problem in each.problems[:1]]
    assert not problems, "\n\n".join(problems)
    answered = [each.label for each in asked if each.answered]
    if mode is GenerationMode.POSITIVE:
        assert {"Query.run", "Query.runTrace", "Query.event", "Mutation.rerun"} <= set(answered), answered


@dataclass
class _Asked:
    """What became of the questions to one field."""

    label: str
    problems: list[str] = field(default_factory=list)
    answered: int = 0


def _ask(stage: Stage, operation: Any, mode: GenerationMode, known: Mapping[str, str]) -> _Asked:
    asked = _Asked(operation.label)

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
        # Ids by chance are those of nothing.
        query = graphql.print_ast(graphql.visit(graphql.parse(case.body), _Known(known))) if real else case.body
        answer = stage.http.post("/v0/gql", json={"query": query})
        told = answer.json()
        crashes = [
            each for each in told.get("errors", ()) if each.get("extensions", {}).get("code") == "internal_error"
        ]
        asked.answered += "errors" not in told
        if answer.status_code != 200 or crashes or "data" not in told:
            asked.problems.append(f"{asked.label}: {query[:1500]}\n{answer.status_code} {str(told)[:700]}")

    # Of a question without arguments nothing can be wrong.
    with suppress(SkipTest):
        call()
    return asked


class _Known(graphql.Visitor):
    """Puts what there is in the place of what was made up."""

    def __init__(self, known: Mapping[str, str]) -> None:
        super().__init__()
        self._known = known

    def enter(self, node: ast.Node, *_: Any) -> ast.Node | None:
        if not isinstance(node, ast.ArgumentNode | ast.ObjectFieldNode) or node.name.value not in self._known:
            return None
        if not isinstance(node.value, ast.StringValueNode):
            return None
        return type(node)(name=node.name, value=ast.StringValueNode(value=self._known[node.name.value]))
