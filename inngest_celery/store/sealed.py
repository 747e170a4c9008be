"""Columns with payloads: encrypted where the database has a keyring, and otherwise text as it is.

A type on the column sees to it, so that no statement need think of it. It finds the keyring at the dialect, which
belongs to one engine: ours have it from the beginning, and somebody else's, in whose transaction we write, is given it
before (``Database.equip``). Statements that go past SQLAlchemy do it by themselves, with :func:`places_of`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

if TYPE_CHECKING:
    from inngest_celery.store.keyring import Keyring

# 32 MiB of state and 4 MiB a step do not fit MySQL's 64 KiB TEXT.
Json = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
_KEYRING: Final = "inngest_keyring"


class NotEquipped(RuntimeError):
    """Payloads were about to be written in the clear, on a connection that was not given the keys."""


class Sealed(sa.types.TypeDecorator[str]):
    """JSON text that is encrypted where there is a keyring.

    Args:
        place: table and column, as ``event.data``: what is encrypted for one can be read in no other.
    """

    impl = Json
    cache_ok = True

    def __init__(self, place: str) -> None:
        super().__init__()
        self.place = place

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        keyring = _keyring_to_write(dialect)
        return value if keyring is None or value is None else keyring.seal(value, self.place)

    def process_result_value(self, value: Any | None, dialect: sa.Dialect) -> str | None:
        return value if value is None else open_value(getattr(dialect, _KEYRING, None), value, self.place)


def places_of(table: sa.Table) -> dict[str, str]:
    """Give the columns of a table that are encrypted, with their places."""
    return {column.name: column.type.place for column in table.columns if isinstance(column.type, Sealed)}


def open_value(keyring: Keyring | None, value: str, place: str) -> str:
    """Give what a column holds, decrypted if need be.

    Raises:
        KeyringError: its key is not there, or it is not what was written.
    """
    if keyring is not None:
        return keyring.open(value, place)
    from inngest_celery.store.keyring import MARK, missing_key

    if value.startswith(MARK):
        raise missing_key(value.removeprefix(MARK).partition(":")[0])
    return value


def equip(dialect: sa.Dialect, keyring: Keyring | None) -> None:
    """Have payloads that are written by this dialect's engine encrypted; by none, if there is no keyring."""
    setattr(dialect, _KEYRING, keyring)
    if keyring is not None:
        # From now on whoever writes on a connection that nobody has equipped is stopped.
        _in_use.add(keyring)


def _keyring_to_write(dialect: sa.Dialect) -> Keyring | None:
    try:
        keyring: Keyring | None = getattr(dialect, _KEYRING)
    except AttributeError:
        if _in_use:
            raise NotEquipped("payloads are encrypted in this process: call Database.equip(connection) first") from None
        return None
    return keyring


_in_use: WeakSet[Keyring] = WeakSet()
