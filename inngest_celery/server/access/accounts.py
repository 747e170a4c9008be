"""Users: made, given another role or password, shut out. The same for pages and the command line."""

from __future__ import annotations

import re
from dataclasses import replace

import sqlalchemy as sa

from inngest_celery.server.access.passwords import hashed
from inngest_celery.server.access.roles import Role
from inngest_celery.store import sessions, users
from inngest_celery.store.conflicts import retried
from inngest_celery.store.users import UserRow
from inngest_celery.worker.runtime import Runtime

_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,99}")


class UserNameRefused(ValueError):
    """A name that no user can have. ``code`` is ``user_name_invalid``."""

    code = "user_name_invalid"


class UserNotFound(LookupError):
    """There is no such user. ``code`` is ``user_not_found``."""

    code = "user_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no user {name!r}. `inngest-celery users list` shows all.")


class LastAdmin(RuntimeError):
    """The only admin who can log in has to stay one. ``code`` is ``last_admin``."""

    code = "last_admin"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is the only admin who can log in. Make somebody else an admin first.")


def add(runtime: Runtime, name: str, role: Role, password: str) -> UserRow:
    """Add a user who logs in with a password.

    Args:
        name: letters, digits and ``._@+-``; case does not matter.
        role: what it may do.
        password: 10 characters at least.

    Raises:
        UserNameRefused: it has other characters, or is taken.
        PasswordRefused: the password is too short or too long.

    Example: ``add(runtime, "ada@example.com", Role.ADMIN, password)``
    """
    row = UserRow(checked(name), role.label, hashed(password), None, runtime.clock.now())
    if not _add(runtime, row):
        raise UserNameRefused(f"There is a user {row.name} already.")
    return row


@retried
def _add(runtime: Runtime, row: UserRow) -> bool:
    with runtime.database.transaction() as connection:
        return users.add(connection, row)


def set_role(runtime: Runtime, name: str, role: Role) -> None:
    """Give a user another role. It holds from the next request on.

    Raises:
        UserNotFound: there is none of this name.
        LastAdmin: nobody would be left who can make admins.
    """
    _change(runtime, name, role=role.label)


def set_password(runtime: Runtime, name: str, password: str, *, keep_session: str | None = None) -> None:
    """Give a user another password, and end all of its sessions, but one perhaps.

    Args:
        keep_session: the id of the one.

    Raises:
        UserNotFound: there is none of this name.
        PasswordRefused: the password is too short or too long.
    """
    _change(runtime, name, password=hashed(password), keep_session=keep_session, end_sessions=True)


def disable(runtime: Runtime, name: str) -> None:
    """Shut a user out, and end all of its sessions.

    Raises:
        UserNotFound: there is none of this name.
        LastAdmin: nobody would be left who can let others in.
    """
    _change(runtime, name, disabled_at=runtime.clock.now(), end_sessions=True)


def enable(runtime: Runtime, name: str) -> None:
    """Let a user in again.

    Raises:
        UserNotFound: there is none of this name.
    """
    _change(runtime, name, disabled_at=None)


def checked(name: str) -> str:
    """Give a name as it is stored.

    Raises:
        UserNameRefused: no user can have it.
    """
    written = name.strip().lower()
    if not _NAME.fullmatch(written):
        raise UserNameRefused(
            f"{name[:120]!r} is no name for a user: write up to 100 letters, digits or . _ @ + -, as ada@example.com."
        )
    return written


@retried
def _change(
    runtime: Runtime, name: str, *, end_sessions: bool = False, keep_session: str | None = None, **changes: object
) -> None:
    with runtime.database.transaction() as connection:
        row = users.lock(connection, name.strip().lower())
        if row is None:
            raise UserNotFound(name)
        changed = replace(row, **changes)  # type: ignore[arg-type]
        _keep_an_admin(connection, row, changed)
        users.save(connection, changed)
        if end_sessions:
            sessions.end_all(connection, row.name, but=keep_session)


def _keep_an_admin(connection: sa.Connection, before: UserRow, after: UserRow) -> None:
    if _is_admin(before) and not _is_admin(after) and not users.other_admins(connection, before.name):
        raise LastAdmin(before.name)


def _is_admin(row: UserRow) -> bool:
    return row.role == users.ADMIN and row.disabled_at is None
