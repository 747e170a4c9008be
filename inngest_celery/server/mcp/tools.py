"""What a tool is, and how one is made of a function."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar, get_type_hints

from fastapi import FastAPI
from fastapi.concurrency import contextmanager_in_threadpool, run_in_threadpool
from pydantic import ConfigDict
from starlette.requests import HTTPConnection

from inngest_celery.server.access import Person, Role, audit
from inngest_celery.server.access.identity import too_low
from inngest_celery.server.state import Server
from inngest_celery.server.v2.shapes import Shape

T = TypeVar("T")


class Arguments(Shape):
    """What a tool is called with, in camel case. A name that is not there is a mistake that is told."""

    model_config = ConfigDict(extra="forbid")


class ToolError(Exception):
    """What a tool refuses, as the model is told it.

    Args:
        code: stable.
        message: what happened, and what to do.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Caller:
    """Where a call came to, and by whose right.

    Attributes:
        request: its request.
        person: who makes it.
    """

    server: Server
    app: FastAPI
    request: HTTPConnection
    person: Person


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool.

    Attributes:
        description: teaches a model when to use it, and what comes of it.
        schema: JSON Schema of its arguments.
        reads: whether it changes nothing.
        destroys: whether it ends something that cannot be had back.
    """

    name: str
    description: str
    schema: dict[str, Any]
    call: Callable[[Caller, dict[str, Any]], Awaitable[object]]
    reads: bool
    destroys: bool = False


Handler = Callable[[Server, Any], object]


def tool(handler: Handler, *, reads: bool = False, destroys: bool = False) -> Tool:
    """Make a tool of a function of a server and :class:`Arguments`; what it says of itself is what a model reads.

    One that waits is a coroutine function; all others are called in a thread.
    """
    hints = get_type_hints(handler)
    given: type[Arguments] = hints[list(inspect.signature(handler).parameters)[1]]

    async def call(caller: Caller, arguments: dict[str, Any]) -> object:
        read = given.model_validate(arguments)
        if reads:
            return await answer(caller, read)
        if caller.person.role < Role.OPERATOR:
            raise too_low(caller.person, Role.OPERATOR)
        entry = await run_in_threadpool(
            audit.record, caller.request, caller.person, f"mcp.{handler.__name__}", _subject(read)
        )
        async with contextmanager_in_threadpool(entry):
            return await answer(caller, read)

    async def answer(caller: Caller, read: Arguments) -> object:
        server = replace(caller.server, request=caller.request)
        if inspect.iscoroutinefunction(handler):
            return await handler(server, read)
        return await run_in_threadpool(handler, server, read)

    schema = given.model_json_schema()
    schema.pop("title", None)
    schema.pop("description", None)
    return Tool(handler.__name__, inspect.getdoc(handler) or "", schema, call, reads, destroys)


def _subject(read: Arguments) -> str:
    """Give what a tool acts on, if that is one thing."""
    return next((str(getattr(read, name)) for name in ("run_id", "function_id", "name") if hasattr(read, name)), "")
