"""``make demo`` as a user runs it: real workers, a real SIGKILL."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(180)
def test_demo_proves_that_nothing_is_lost() -> None:
    demo = subprocess.run(
        [sys.executable, "-m", "examples.github.demo", "--quick"], cwd=ROOT, capture_output=True, text=True, timeout=170
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    told = [line for line in demo.stdout.splitlines() if "│" in line]
    table = {cells[1].strip(): cells[2].strip() for cells in (line.split("│") for line in told)}
    assert table["webhooks"] == "171"
    assert table["duplicates recorded"] == table["lost"] == "0"
    assert "SIGKILL" in demo.stdout
    assert "One run: github-release " in demo.stdout
