"""The one clock. Every time in code and in SQL conditions comes from here, so that a test can travel in time.

Times are integers: milliseconds since 1970, UTC, as on the Inngest wire.
"""

from __future__ import annotations

import mmap
import struct
import time
from pathlib import Path
from typing import Protocol

_OFFSET = struct.Struct("<q")


class Clock(Protocol):
    """Tells the time in milliseconds since 1970."""

    def now(self) -> int: ...


class SystemClock:
    """The machine's own clock.

    Example:
        >>> SystemClock().now() > 1_700_000_000_000
        True
    """

    def now(self) -> int:
        return time.time_ns() // 1_000_000


class TravellingClock:
    """The machine's clock plus an offset of this process's own."""

    def __init__(self) -> None:
        self._system = SystemClock()
        self._offset = 0

    def now(self) -> int:
        return self._system.now() + self._offset

    def advance(self, milliseconds: int) -> None:
        self._offset += milliseconds


class StandingClock(TravellingClock):
    """A clock that stands, but for when it is moved: what is due in a minute is due then, and not a little before.

    Example:
        >>> clock = StandingClock()
        >>> before = clock.now()
        >>> clock.advance(60_000)
        >>> clock.now() - before
        60000
    """

    def __init__(self) -> None:
        super().__init__()
        self._time = super().now()

    def now(self) -> int:
        return self._time

    def advance(self, milliseconds: int) -> None:
        self._time += milliseconds


class SharedClock:
    """The machine's clock plus an offset that lives in a small file, so that all processes travel together.

    Args:
        path: the file; made with an offset of 0 when it is missing.

    Example:
        >>> import tempfile; path = tempfile.mkdtemp() + "/clock"
        >>> here, there = SharedClock(path), SharedClock(path)
        >>> here.advance(86_400_000)
        >>> there.now() - SystemClock().now() > 86_000_000
        True
    """

    def __init__(self, path: str | Path) -> None:
        file = Path(path)
        if not file.exists() or file.stat().st_size < _OFFSET.size:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(_OFFSET.pack(0))
        with file.open("r+b") as handle:
            self._memory = mmap.mmap(handle.fileno(), _OFFSET.size)
        self._system = SystemClock()

    def now(self) -> int:
        offset: int = _OFFSET.unpack_from(self._memory, 0)[0]
        return self._system.now() + offset

    def advance(self, milliseconds: int) -> None:
        """Move every process that shares the file forward by so many milliseconds."""
        offset: int = _OFFSET.unpack_from(self._memory, 0)[0]
        _OFFSET.pack_into(self._memory, 0, offset + milliseconds)


def clock_from(setting: str) -> Clock:
    """Give the clock that ``inngest_clock`` names: ``"system"`` or ``"file:<path>"``.

    Raises:
        ValueError: the setting is neither.
    """
    if setting == "system":
        return SystemClock()
    kind, _, path = setting.partition(":")
    if kind == "file" and path:
        return SharedClock(path)
    raise ValueError(f'inngest_clock must be "system" or "file:<path>", not {setting!r}')
