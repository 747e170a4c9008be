"""An app with functions, and the command line run on it in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from types import ModuleType

import pytest
from celery import Celery
from click.testing import CliRunner, Result

import inngest_celery as inngest
from inngest_celery.cli import main
from inngest_celery.store.database import Database
from inngest_celery.testing.inline import Inline

MODULE = "cli_test_shop"
RunCli = Callable[..., Result]


def define_shop(app: Celery) -> inngest.Inngest:
    """Functions with steps of every sort that a view has to show."""
    client = inngest.Inngest(app_id="shop", celery=app)
    failures = iter([ValueError("the bank is closed")])

    def charge() -> str:
        for failure in failures:
            raise failure
        return "receipt 7"

    @client.create_function(fn_id="order", trigger=inngest.TriggerEvent(event="shop/ordered"), retries=2)
    def order(ctx: inngest.ContextSync) -> str:
        receipt = ctx.step.run("charge", charge)
        ctx.step.sleep("cool down", timedelta(hours=1))
        ctx.step.wait_for_event(
            "paid", event="shop/paid", if_exp="event.data.id == async.data.id", timeout=timedelta(days=3)
        )
        return receipt

    @client.create_function(fn_id="refuse", trigger=inngest.TriggerEvent(event="shop/refused"), retries=0)
    def refuse(ctx: inngest.ContextSync) -> None:
        raise ValueError("no [brackets] here")

    return client


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Celery:
    """The app, importable by the name ``MODULE``."""
    module = ModuleType(MODULE)
    module.app = Celery("shop", broker="memory://")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, MODULE, module)
    define_shop(module.app)
    app: Celery = module.app
    return app


@pytest.fixture
def cli(shop: Celery) -> RunCli:
    """Runs ``inngest-celery -A <the shop> …``."""

    def run(*args: str, status: int = 0, text: str | None = None) -> Result:
        result = CliRunner().invoke(main, ["-A", MODULE, *args], input=text)
        assert result.exit_code == status, (result.output, result.exception)
        return result

    return run


@pytest.fixture
def inline(shop: Celery, database_url: str) -> Inline:
    """The shop on a database, its runs done in this process."""
    return Inline(shop, database_url=database_url)


@pytest.fixture
def database(inline: Inline, database_url: str) -> Database:
    return Database(database_url)
