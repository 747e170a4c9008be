"""Stands in for GitHub's API, so that the example needs no account: every call becomes a line in a journal.

The journal shows later how often each step's body really ran, whatever the database says. ``GITHUB_STATE`` names the
directory, ``GITHUB_LATENCY`` the seconds that a call takes.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FLAWS = 2


class BadGatewayError(Exception):
    """What an upload gets the first times, as from a real server on a bad day."""


def state() -> Path:
    """Give the directory that the journal is in."""
    directory = Path(os.environ.get("GITHUB_STATE", ".inngest/github"))
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def note(run_id: str, call: str) -> None:
    """Append a line to the journal; whole even when many processes do so at once."""
    with (state() / "journal").open("ab", buffering=0) as journal:
        journal.write(f"{run_id} {call}\n".encode())


@dataclass(frozen=True)
class GitHub:
    """The API, as seen from one run."""

    run_id: str

    async def get(self, path: str) -> dict[str, Any]:
        """Read something. A number made of the path stands for what is found there."""
        await self._call("GET", path)
        return {"path": path, "count": hashlib.sha256(path.encode()).digest()[0]}

    async def post(self, path: str, body: Mapping[str, object]) -> str:
        """Make something, and give its address."""
        await self._call("POST", path)
        return f"{path}/{len(str(body))}"

    async def upload(self, path: str) -> str:
        """Upload a file: every file goes wrong twice, then well.

        Raises:
            BadGatewayError: the first and the second time.
        """
        await self._call("PUT", path)
        tried = state() / "uploads"
        tried.mkdir(exist_ok=True)
        name = hashlib.sha256(f"{self.run_id} {path}".encode()).hexdigest()[:16]
        for attempt in range(_FLAWS):
            try:
                (tried / f"{name}.{attempt}").touch(exist_ok=False)
            except FileExistsError:
                continue
            raise BadGatewayError(f"502 Bad Gateway: PUT {path}")
        return f"https://uploads.github.com{path}"

    async def _call(self, method: str, path: str) -> None:
        note(self.run_id, f"{method} {path}")
        await asyncio.sleep(float(os.environ.get("GITHUB_LATENCY", "0.01")))
