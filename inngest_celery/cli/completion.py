"""What the shell offers for values that only the database knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from collections.abc import Callable

    from inngest_celery.cli.group import HasApp
    from inngest_celery.store.functions import FunctionRow

    TextType = click.ParamType[str]
else:
    # Generic in newer releases of Click only.
    TextType = click.ParamType


class FunctionId(TextType):
    """The full id of a function."""

    name = "function_id"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return _offered(ctx, incomplete, lambda row: row.id)


class AppId(TextType):
    """The id of an app."""

    name = "app_id"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return _offered(ctx, incomplete, lambda row: row.app_id)


def _offered(ctx: click.Context, incomplete: str, value: Callable[[FunctionRow], str]) -> list[CompletionItem]:
    from inngest_celery.cli.group import Target, runtime_for
    from inngest_celery.sdk.errors import Error
    from inngest_celery.store import functions

    app = ctx.find_root().params.get("app")
    if not isinstance(app, str):
        return []
    try:
        with runtime_for(cast("HasApp", Target(app))) as runtime, runtime.database.autocommit() as connection:
            found = {value(row) for row in functions.all_of(connection)}
    except (click.ClickException, LookupError, ValueError, RuntimeError, Error):
        # Whatever is wrong, the command itself says it.
        return []
    return [CompletionItem(each) for each in sorted(found) if each.startswith(incomplete)]
