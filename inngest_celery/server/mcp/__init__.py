"""MCP at ``/mcp``: tools with which a model sends events, looks at runs and acts on them.

Streamable HTTP with JSON replies and no sessions, so that any process behind a balancer may answer. There is nothing to
listen to by GET, or to end by DELETE: a stream that stays open would only keep the server from ending. In this package
``mcp`` is the official SDK's; what is ours is ``inngest_celery.server.mcp``.
"""

from __future__ import annotations

from inngest_celery.server.mcp.endpoint import Endpoint as Endpoint
