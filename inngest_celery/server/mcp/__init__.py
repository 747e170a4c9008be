"""MCP at ``/mcp``: tools with which a model sends events, looks at runs and acts on them.

Streamable HTTP with JSON replies and no sessions, so that any process behind a balancer may answer. In this package
``mcp`` is the official SDK's; what is ours is ``inngest_celery.server.mcp``.
"""

from __future__ import annotations

from inngest_celery.server.mcp.endpoint import Endpoint as Endpoint
