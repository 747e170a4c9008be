"""Plays the demos of the examples as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def play(*arguments: str) -> str:
    """Run ``python -m examples.<...>`` in the clone, and give what it prints.

    Raises:
        AssertionError: something was not as the demo wants it; with all that it printed.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CELERY_", "INNGEST_"))}
    demo = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**environment, "COLUMNS": "160"},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    return demo.stdout
