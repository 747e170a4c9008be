"""GraphQL at ``/v0/gql``, as the Dev Server has it: what its own pages and other clients ask."""

from __future__ import annotations

import logging
from http import HTTPStatus
from types import NoneType
from typing import Any

import strawberry
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from graphql import GraphQLError
from pydantic import BaseModel, Field
from strawberry.extensions import MaxAliasesLimiter, MaxTokensLimiter, QueryDepthLimiter
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.exceptions import InvalidOperationTypeError
from strawberry.types import ExecutionContext
from strawberry.types.graphql import OperationType

from inngest_celery.server.access import Role, Viewer
from inngest_celery.server.access.identity import too_low
from inngest_celery.server.errors import ApiError, refusal_of
from inngest_celery.server.graphql.loading import Loader
from inngest_celery.server.graphql.mutations import Mutation
from inngest_celery.server.graphql.queries import Query
from inngest_celery.server.graphql.scalars import SCALARS
from inngest_celery.server.state import Serving

router = APIRouter(tags=["graphql"])

_CRASH = ApiError(500, "The server failed to answer this; its log says why.", code="internal_error")
# Introspection goes 13 deep.
_ALLOWED = {Role.VIEWER: {OperationType.QUERY}}
_EVERYTHING = {OperationType.QUERY, OperationType.MUTATION}
_DEEPEST, _MOST_TOKENS, _MOST_ALIASES = 20, 5000, 50

logger = logging.getLogger(__name__)


class _Schema(strawberry.Schema):
    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Log what is not the fault of whoever asks."""
        for error in errors:
            refusal = refusal_of(error.original_error)
            if refusal is not None and refusal.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                logger.error("A query failed: %s", error.original_error, extra={"action": "request_failed"})
            elif _is_crash(error):
                logger.error("A query failed.", exc_info=error.original_error, extra={"action": "request_failed"})


schema = _Schema(
    Query,
    Mutation,
    config=StrawberryConfig(scalar_map=SCALARS),
    extensions=[
        lambda: QueryDepthLimiter(max_depth=_DEEPEST),
        lambda: MaxTokensLimiter(max_token_count=_MOST_TOKENS),
        lambda: MaxAliasesLimiter(max_alias_count=_MOST_ALIASES),
    ],
)


class Asked(BaseModel):
    """A query, and the values of its variables."""

    query: str = Field(min_length=1)
    variables: dict[str, Any] | None = None
    operationName: str | None = None


@router.post("/v0/gql")
def ask(request: Request, server: Serving, person: Viewer, asked: Asked) -> JSONResponse:
    """Answer a query. What is wrong with it stands in the answer, whose status is 200, as clients expect."""
    try:
        result = schema.execute_sync(
            asked.query,
            variable_values=asked.variables,
            operation_name=asked.operationName,
            context_value={"loader": Loader(server), "request": request, "person": person},
            allowed_operation_types=_ALLOWED.get(person.role, _EVERYTHING),
        )
    except InvalidOperationTypeError as error:
        raise too_low(person, Role.OPERATOR) from error
    answer: dict[str, Any] = {"data": result.data}
    if result.errors:
        answer["errors"] = [_formatted(error) for error in result.errors]
    return JSONResponse(answer)


def _formatted(error: GraphQLError) -> dict[str, Any]:
    told: dict[str, Any] = dict(error.formatted)
    refusal = _CRASH if _is_crash(error) else refusal_of(error.original_error)
    if refusal is not None:
        told |= {"message": str(refusal), "extensions": {"code": refusal.code}}
    return told


def _is_crash(error: GraphQLError) -> bool:
    """Tell whether an error is a fault of this server. What cannot be asked raises GraphQL's own errors."""
    original = error.original_error
    return not isinstance(original, GraphQLError | NoneType) and refusal_of(original) is None
