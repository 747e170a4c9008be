"""A client on a Celery app of its own, and its counterpart from the official package."""

from __future__ import annotations

import os
from collections.abc import Iterator

import inngest as official
import pytest
from celery import Celery

import inngest_celery as inngest


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine's environment says must not change what the tests see."""
    for name in os.environ:
        if name.startswith("INNGEST_") or name in {"RAILWAY_GIT_BRANCH", "RENDER_GIT_BRANCH", "VERCEL_GIT_COMMIT_REF"}:
            monkeypatch.delenv(name)


@pytest.fixture
def celery_app() -> Iterator[Celery]:
    app = Celery("shop", broker="memory://", set_as_current=False)
    yield app
    app.close()


@pytest.fixture
def client(celery_app: Celery) -> inngest.Inngest:
    return inngest.Inngest(app_id="shop", celery=celery_app)


@pytest.fixture
def official_client() -> official.Inngest:
    return official.Inngest(app_id="shop", is_production=False)


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio, as Celery's users do."""
    return "asyncio"
