"""What the commands on users, tokens and the audit log share."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

import click

from inngest_celery.cli.group import Failure, HasApp, Target, runtime_for
from inngest_celery.cli.stack import BUILT_IN

if TYPE_CHECKING:
    from inngest_celery.store.sent_by import SentBy
    from inngest_celery.worker.auditing import Entry
    from inngest_celery.worker.runtime import Runtime


@contextmanager
def server_runtime(target: HasApp) -> Iterator[Runtime]:
    """Give the runtime of the server that is meant: that of ``start`` without an app, where ``-A`` names none."""
    if isinstance(target, Target) and not target.name:
        target.name = BUILT_IN
    with runtime_for(target) as runtime:
        yield runtime


@contextmanager
def access_runtime(target: HasApp) -> Iterator[Runtime]:
    """Give the same, once it is certain that passwords and tokens can be made here.

    Raises:
        Failure: what the HTTP server takes is not installed (``server_missing``).
    """
    from inngest_celery.cli.serving import HOW_TO_INSTALL

    try:
        from inngest_celery.server.access import accounts  # noqa: F401
    except ImportError as error:
        missing = f"This is about the HTTP server ({error.name} is missing): {HOW_TO_INSTALL}."
        raise Failure("server_missing", missing) from error
    with server_runtime(target) as runtime:
        yield runtime


def operator() -> str:
    """Give the name of whoever runs this command, as this machine knows it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def sender() -> SentBy:
    """Tell who sends an event with this command."""
    from inngest_celery.store.sent_by import SentBy

    return SentBy(kind="command_line", name=operator(), id="")


def recorded(
    runtime: Runtime, action: str, subject: str, details: Mapping[str, object] | None = None
) -> AbstractContextManager[Entry]:
    """Write into the audit log what a command is about to do. Who has the database's password may do everything."""
    from inngest_celery.worker import auditing

    actor = auditing.Actor(operator(), "command_line", "admin")
    return auditing.begin(runtime, actor, action, subject, details)


def ask_password() -> str:
    """Give a password: typed twice by somebody at a terminal, or else the first line of the input.

    Raises:
        click.UsageError: there is none.
    """
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise click.UsageError("Type the password, or give it on the input: inngest-celery users add NAME < file")
    return password
