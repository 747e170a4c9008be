"""Runs a server for exactly as long as the process that wanted it lives, whichever way that process ends.

:mod:`inngest_celery.embedded` starts this file as a script: ``keeper.py <owner's pid> <lock's descriptor> <command…>``.
It imports the standard library only, so that it starts in milliseconds and stays small.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

_LOOK_EVERY = 0.5


def keep(owner: int, lock: int, command: list[str]) -> int:
    """Run the command until it ends by itself, the owner is gone, or somebody sends SIGTERM; gives its exit status.

    A dead owner closes our standard input, which is seen at once. A process that the owner forked may hold the other
    end open, so the parent's pid is compared as well. (PR_SET_PDEATHSIG would not do: it fires when the *thread* that
    started us ends, and only Linux has it.)
    """
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[lock])
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    while server.poll() is None and os.getppid() == owner:
        if select.select([sys.stdin], [], [], _LOOK_EVERY)[0]:
            break
    server.terminate()
    return server.wait()


if __name__ == "__main__":
    sys.exit(keep(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
