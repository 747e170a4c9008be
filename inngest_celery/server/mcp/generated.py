"""Tools made of the routes of REST v2: those whose description in the OpenAPI document names one.

A call is a request to the route itself, within this process and with the caller's own right. So what is checked,
refused and answered there is here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
from fastapi import FastAPI
from pydantic.alias_generators import to_camel

from inngest_celery.server.documents import inlined
from inngest_celery.server.mcp.tools import Caller, Tool, ToolError
from inngest_celery.server.v2.tools import TOOL

_ARGUMENTS = {
    "runId": "The run's id.",
    "eventId": "The event's id, as it is stored.",
    "appId": "The app's id.",
    "functionId": "The function's full id, <app id>-<function id>, or the part behind the app's.",
    "cursor": "page.cursor of the page before.",
    "limit": "How many at most.",
    "status": "Only runs that stand so.",
    "from": "Only those at or after this: 2030-01-31T12:00:00Z.",
    "until": "Only those before this.",
    "timeField": "Which time of a run from and until are about, and runs are sorted by.",
    "includeOutput": "Whether outputs are wanted, which may be long.",
    "fromStep": "Where to begin; the whole function, if left out. Steps before it are not executed again.",
    "data": "What the function reads as event.data.",
    "idempotencyKey": "The same one again within a day is the same call.",
}


@dataclass(frozen=True, slots=True)
class Route:
    """A route, and where the arguments of its tool go.

    Attributes:
        in_path, in_query: names of arguments, and what the route calls them.
        in_body: names of arguments that are fields of its body.
    """

    method: str
    path: str
    in_path: dict[str, str]
    in_query: dict[str, str]
    in_body: tuple[str, ...]


def tools_of(app: FastAPI) -> Iterator[Tool]:
    """Make the tools of an application's routes."""
    document = app.openapi()
    definitions = document["components"]["schemas"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if TOOL in operation:
                yield _tool(method.upper(), path, operation, definitions)


def _tool(method: str, path: str, operation: dict[str, Any], definitions: dict[str, Any]) -> Tool:
    properties: dict[str, Any] = {}
    required: list[str] = []
    places: dict[str, dict[str, str]] = {"path": {}, "query": {}}
    for parameter in operation.get("parameters", ()):
        name = to_camel(parameter["name"])
        places[parameter["in"]][name] = parameter["name"]
        properties[name] = inlined(parameter["schema"], definitions)
        required += [name] if parameter.get("required") else []
    body = _body(operation, definitions)
    properties |= body.get("properties", {})
    required += body.get("required", [])
    for name, schema in properties.items():
        schema.pop("title", None)
        if name in _ARGUMENTS:
            schema.setdefault("description", _ARGUMENTS[name])
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    route = Route(method, path, places["path"], places["query"], tuple(body.get("properties", ())))

    async def call(caller: Caller, arguments: dict[str, Any]) -> object:
        return await _request(caller, route, arguments)

    return Tool(
        operation[TOOL],
        operation["description"],
        schema,
        call,
        reads=method == "GET",
        destroys=operation[TOOL] == "cancel_run",
    )


def _body(operation: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Give the schema of a route's body, if it takes one."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return {}
    found: dict[str, Any] = inlined(content["schema"], definitions)
    # A body that may be left out: it, or null.
    return next((each for each in found.get("anyOf", [found]) if each.get("type") == "object"), {})


async def _request(caller: Caller, route: Route, arguments: dict[str, Any]) -> object:
    unknown = arguments.keys() - {*route.in_path, *route.in_query, *route.in_body}
    missing = route.in_path.keys() - arguments.keys()
    if unknown or missing:
        told = [f"there is no argument {name}" for name in sorted(unknown)]
        raise ToolError("arguments_invalid", "; ".join(told + [f"{name} is missing" for name in sorted(missing)]))
    given = {name: value for name, value in arguments.items() if value is not None}
    path = route.path
    for name, placeholder in route.in_path.items():
        path = path.replace(f"{{{placeholder}}}", quote(str(given.get(name)), safe=""))
    query = {called: given[name] for name, called in route.in_query.items() if name in given}
    body = {name: given[name] for name in route.in_body if name in given}
    authorization = caller.request.headers.get("authorization")
    headers = {"authorization": authorization} if authorization else {}
    transport = httpx.ASGITransport(app=caller.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", trust_env=False) as client:
        answer = await client.request(
            route.method, path, params=_plain(query), json=body if route.in_body else None, headers=headers
        )
    return _read(answer)


def _read(answer: httpx.Response) -> object:
    said = answer.json()
    if answer.is_success:
        said.pop("metadata", None)
        return said if "page" in said else said["data"]
    [first, *_] = said["errors"]
    raise ToolError(first["code"], first["message"])


def _plain(query: dict[str, Any]) -> dict[str, Any]:
    return {name: str(value).lower() if isinstance(value, bool) else value for name, value in query.items()}
