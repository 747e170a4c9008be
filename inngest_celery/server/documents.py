"""The OpenAPI document: what is served, and nothing else."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from inngest_celery.server.access import Role, require

router = APIRouter(include_in_schema=False, dependencies=[Depends(require(Role.VIEWER))])

_OF_FASTAPI = "HTTPValidationError"


@router.get("/openapi.json")
def show(request: Request) -> JSONResponse:
    """Give the document."""
    return JSONResponse(request.app.openapi())


def document(app: FastAPI) -> None:
    """Let an application tell of no answers that it does not give: what it refuses as malformed is a 400."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        fresh = app.openapi_schema is None
        document = made()
        if fresh:
            for operations in document["paths"].values():
                for operation in operations.values():
                    if _OF_FASTAPI in str(operation["responses"].get("422")):
                        del operation["responses"]["422"]
            for name in (_OF_FASTAPI, "ValidationError"):
                document.get("components", {}).get("schemas", {}).pop(name, None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def body_of(schema: dict[str, Any] | type[BaseModel]) -> dict[str, Any]:
    """Give what documents the JSON body of a route that reads it by itself."""
    if not isinstance(schema, dict):
        schema = schema.model_json_schema()
        schema = inlined(schema, schema.pop("$defs", {}))
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def inlined(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Put definitions where they are referred to: a schema within a document has no definitions of its own."""

    def put(part: Any) -> Any:
        if isinstance(part, dict):
            name = str(part.get("$ref", "")).rpartition("/")[2]
            return put(definitions[name]) if name in definitions else {key: put(value) for key, value in part.items()}
        return [put(each) for each in part] if isinstance(part, list) else part

    made: dict[str, Any] = put(schema)
    return made
