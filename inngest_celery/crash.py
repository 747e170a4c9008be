"""Named places at which tests kill a worker process. They do nothing unless a test asks for it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

_VARIABLE = "INNGEST_TEST_CRASH"


def crash_point(name: str) -> None:
    """Kill this process with SIGKILL if the test has ordered it for this place and has not had it yet.

    ``INNGEST_TEST_CRASH`` names a directory. A file in it with the name of a place orders one crash there; the process
    that crashes takes it away first, so that each order is carried out once.
    """
    if _DIRECTORY is None:
        return
    try:
        (_DIRECTORY / name).unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


_DIRECTORY = Path(os.environ[_VARIABLE]) if os.environ.get(_VARIABLE) else None
