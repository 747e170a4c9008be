"""The Lua scripts, put together from one file a policy, and run by their hash."""

from __future__ import annotations

from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Any

import redis
from redis.exceptions import NoScriptError

_LINE = ("head", "concurrency", "run_concurrency", "throttle", "budget", "line")
GATE = (*_LINE, "gate")
INSPECT = (*_LINE, "inspect")
RATE = ("rate_limit",)


@cache
def source(names: tuple[str, ...]) -> str:
    """Give the text of a script, from the files that it consists of."""
    folder = files("inngest_celery.flow") / "lua"
    return "\n".join((folder / f"{name}.lua").read_text("utf-8") for name in names)


@cache
def _digest(names: tuple[str, ...]) -> str:
    return sha1(source(names).encode(), usedforsecurity=False).hexdigest()


def run(client: redis.Redis, names: tuple[str, ...], key: str, *arguments: str | int) -> Any:
    """Run a script on the node that has a key; load it there if the node does not know it, or has forgotten it."""
    try:
        return client.evalsha(_digest(names), 1, key, *arguments)
    except NoScriptError:
        return client.eval(source(names), 1, key, *arguments)
