"""What all commands share: loaded when used, given the Celery app, errors told in one form."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

if TYPE_CHECKING:
    from celery import Celery

    from inngest_celery.worker.runtime import Runtime

_PORT_FILE = Path(".inngest") / "valkey.port"


class Failure(click.ClickException):
    """An error with a stable code, and the exit status that goes with it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{message} ({code})")
        # Click declares it on the class, and reads it from the instance.
        self.exit_code = _status(code)  # type: ignore[misc]


class Commands(click.Group):
    """A group whose commands are imported when they are used.

    Args:
        lazy: names, and where each command is: ``module:attribute``.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, str] | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._lazy = dict(lazy or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self._lazy, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self._lazy[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        from inngest_celery.sdk.errors import Error

        try:
            return super().invoke(ctx)
        except (LookupError, ValueError, RuntimeError, Error) as error:
            code = getattr(error, "code", None)
            if not isinstance(code, str):
                raise
            raise Failure(str(code), str(error)) from error


class HasApp(Protocol):
    """What Click carries as ``obj``: ours, or that of the ``celery`` program."""

    @property
    def app(self) -> Celery: ...


class Target:
    """The Celery app that ``-A`` names, loaded on first use."""

    def __init__(self, name: str | None) -> None:
        self.name = name

    @cached_property
    def app(self) -> Celery:
        """The app.

        Raises:
            click.UsageError: no app is named, or the name leads nowhere.
        """
        from celery.app.utils import find_app

        if not self.name:
            raise click.UsageError(
                "Name the Celery app with -A, as in: inngest-celery -A proj runs list. Where all apps are on the "
                "official SDKs, it is: -A inngest_celery.server.worker_app"
            )
        try:
            app: Celery = find_app(self.name)
        except ModuleNotFoundError as error:
            if ":" in (error.name or ""):  # Celery, having looked for the attribute in vain, took it all for a module
                raise click.UsageError(f"There is no {error.name!r}: the module has no such attribute.") from error
            if not f"{self.name.replace(':', '.')}.".startswith(f"{error.name}."):
                raise
            raise click.UsageError(
                f"There is no module {error.name!r} here. Run this where `celery -A {self.name}` works."
            ) from error
        except AttributeError as error:
            raise click.UsageError(f"{self.name!r} holds no Celery app: {error}") from error
        return app


def app_of(target: HasApp) -> Celery:
    """Give the Celery app with all of its tasks and functions, as a worker would see it."""
    app = target.app
    join_dev_stack(app)
    app.loader.import_default_modules()
    return app


@contextmanager
def runtime_for(target: HasApp) -> Iterator[Runtime]:
    """Give the app's runtime, and explain what its database says while it is used."""
    from inngest_celery.store.errors import explained
    from inngest_celery.worker.runtime import runtime_of

    runtime = runtime_of(app_of(target))
    with explained(runtime.database):
        yield runtime


def join_dev_stack(app: Celery) -> None:
    """Let an app without a broker use the one that ``dev`` runs in this directory, where it has run one."""
    if not app.conf.broker_url and _PORT_FILE.is_file():
        os.environ["CELERY_BROKER_URL"] = f"redis://127.0.0.1:{_PORT_FILE.read_text()}/0"


def _status(code: str) -> int:
    if code.endswith(("_not_found", "_already_ended", "_archived", "last_admin")):
        return 3
    if code in ("run_not_ended", "function_not_idle", "erasure_live_runs", "erasure_unfinished"):
        return 5
    return 4 if code.startswith(("database_", "broker_", "embedded_")) else 2
