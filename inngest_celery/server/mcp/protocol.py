"""The protocol's side: tools are listed, called, and their errors told."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from mcp import types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server as Protocol
from pydantic import ValidationError
from redis import RedisError
from sqlalchemy.exc import DBAPIError

from inngest_celery.sdk.errors import Error
from inngest_celery.server.access import person_of
from inngest_celery.server.errors import ApiError, first_problem
from inngest_celery.server.mcp import acting, manual, sending, watching
from inngest_celery.server.mcp.generated import tools_of
from inngest_celery.server.mcp.tools import Caller, Tool, ToolError, tool
from inngest_celery.server.state import VERSION, Server

logger = logging.getLogger(__name__)

_OWN = (
    tool(sending.send_event),
    tool(sending.invoke_function_sync),
    tool(watching.get_run_status, reads=True),
    tool(watching.poll_run_status, reads=True),
    tool(watching.why, reads=True),
    tool(acting.cancel, destroys=True),
    tool(acting.replay),
    tool(manual.list_docs, reads=True),
    tool(manual.read_doc, reads=True),
    tool(manual.grep_docs, reads=True),
)
_INSTRUCTIONS = """\
This server runs durable functions: an event triggers functions, each starts a run, and a run is made of steps that are
retried and recorded. Begin with list_runs or get_apps to see what there is. To try a function: invoke_function_sync,
or send_event and then get_event_runs. If a run does not go on, ask why. get_run_trace has its steps and errors. Before
many runs are cancelled or replayed, count them with dryRun. The documentation is behind list_docs, read_doc and
grep_docs."""
# Characters. More fills a model's memory with one answer.
_MOST = 100_000

Context = ServerRequestContext[dict[str, Any], Any]


def protocol_of(server: Server, app: FastAPI) -> Protocol[dict[str, Any]]:
    """Make what speaks the protocol.

    Args:
        server: where the tools act.
        app: the application whose routes are tools, too.
    """
    tools: dict[str, Tool] = {}

    def known() -> Mapping[str, Tool]:
        # When the first one asks: by then the application has all of its routes.
        if not tools:
            tools.update({each.name: each for each in (*_OWN, *tools_of(app))})
        return tools

    async def list_tools(_: Context, __: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_described(each) for each in known().values()])

    async def call_tool(context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        # All that reaches it comes over HTTP, and was let in.
        assert context.request is not None
        person = await run_in_threadpool(person_of, context.request)
        assert person is not None
        return await _called(known(), params, Caller(server, app, context.request, person))

    return Protocol(
        "inngest-celery",
        version=VERSION,
        instructions=_INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def _described(each: Tool) -> types.Tool:
    hints = types.ToolAnnotations(read_only_hint=each.reads, destructive_hint=each.destroys, open_world_hint=False)
    return types.Tool(name=each.name, description=each.description, input_schema=each.schema, annotations=hints)


async def _called(
    tools: Mapping[str, Tool], params: types.CallToolRequestParams, caller: Caller
) -> types.CallToolResult:
    """Call a tool; whatever it refuses is told to the model, which may then do it better."""
    found = tools.get(params.name)
    if found is None:
        return _refused("tool_not_found", f"There is no tool {params.name[:100]!r}. There are: {', '.join(tools)}.")
    try:
        return _told(await found.call(caller, params.arguments or {}))
    except ValidationError as error:
        return _refused("arguments_invalid", first_problem(error))
    except (ApiError, ToolError) as error:
        return _refused(error.code, str(error))
    except (DBAPIError, RedisError) as error:
        logger.error("The tool %s failed: %s", params.name, error, extra={"action": "tool_failed"})
        return _refused(
            "unavailable", "The server's database or Redis does not answer. Nothing is half done; try again."
        )
    except (LookupError, ValueError, RuntimeError, Error) as error:
        code = getattr(error, "code", None)
        if not isinstance(code, str):
            raise
        return _refused(str(code), str(error))


def _told(value: object) -> types.CallToolResult:
    # Half of a surrogate pair in an output is no text, and cannot be sent.
    text = json.dumps(value, ensure_ascii=False).encode(errors="replace").decode()
    if len(text) > _MOST:
        text = f"{text[:_MOST]}… (cut off here: it has {len(text)} characters. Ask for less, such as with limit.)"
    return types.CallToolResult(content=[types.TextContent(text=text)])


def _refused(code: str, message: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(text=f"{message} ({code})")], is_error=True)
