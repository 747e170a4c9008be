"""Which routes are tools of ``/mcp``, too."""

from __future__ import annotations

# The field of the OpenAPI document that names the tool.
TOOL = "x-mcp-tool"


def as_tool(name: str) -> dict[str, str]:
    """Give the ``openapi_extra`` of a route that is a tool under this name. Its docstring is what a model reads."""
    return {TOOL: name}
