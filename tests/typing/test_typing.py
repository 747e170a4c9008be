"""The public API as type checkers see it: what is right passes, and every misuse is found where it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
GOOD, MISUSE = HERE / "good.py", HERE / "misuse.py"


def ignored_lines() -> set[int]:
    lines = MISUSE.read_text().splitlines()
    return {number for number, line in enumerate(lines, start=1) if "# type: ignore[" in line}


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)


def test_mypy() -> None:
    """Every ignored line has an error, or the ignore itself would be one: the project's own settings are strict."""
    done = run("mypy", str(GOOD), str(MISUSE))
    assert done.returncode == 0, done.stdout


def test_pyright(tmp_path: Path) -> None:
    config = {
        "include": [os.path.relpath(file, tmp_path) for file in (GOOD, MISUSE)],
        "extraPaths": [str(ROOT)],
        "enableTypeIgnoreComments": False,
        "typeCheckingMode": "standard",
    }
    settings = tmp_path / "pyrightconfig.json"
    settings.write_text(json.dumps(config))
    done = run("pyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(settings))
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == 2
    errors = [entry for entry in report["generalDiagnostics"] if entry["severity"] == "error"]
    assert [entry for entry in errors if not entry["file"].endswith("misuse.py")] == []
    assert {entry["range"]["start"]["line"] + 1 for entry in errors} == ignored_lines()
