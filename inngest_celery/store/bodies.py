"""Transactions in which the body of a step runs, and in which its outcome is then recorded.

The body gets a session that cannot end the transaction. Whatever ends it all the same (a statement that MySQL commits
before, the driver's own ``commit``) takes away the savepoint that it began with, and so is found out.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.orm import Session

from inngest_celery.sdk.errors import TransactionMisusedError
from inngest_celery.store.conflicts import says_conflict
from inngest_celery.store.database import Database

logger = logging.getLogger(__name__)

_SAVEPOINT = "inngest_body"
_COMMENTS = r"(?:\s|/\*.*?\*/|--[^\n]*\n)*"
_ENDING = re.compile(
    rf"{_COMMENTS}(?:commit|end|abort|begin|start\s+transaction|prepare\s+transaction|set\s+(?:session\s+)?autocommit"
    r"|rollback(?!\s+(?:work\s+|transaction\s+)?to\b))\b",
    re.IGNORECASE | re.DOTALL,
)
# MySQL commits before these, without being asked to.
_IMPLICIT = re.compile(
    rf"{_COMMENTS}(?:alter|(?:create|drop)(?!\s+(?:or\s+replace\s+)?temporary\b)|rename|truncate|(?:un)?lock\s+tables?"
    r"|grant|revoke|analyze|optimize|repair)\b",
    re.IGNORECASE | re.DOTALL,
)


class CommitUnanswered(Exception):
    """The connection broke, or the answer was not waited for, when COMMIT was on its way: it may have happened or not.

    The cause says what went wrong.
    """


class BodySession(Session):
    """What a body gets: a session in a transaction that is not its to end.

    Args:
        connection: to be used for nothing else meanwhile.
    """

    def __init__(self, connection: sa.Connection) -> None:
        super().__init__(bind=connection, join_transaction_mode="control_fully")
        super().begin()

    def begin(self, nested: bool = False) -> Any:
        if not nested:
            self._refuse("The session of a transactional step is in a transaction already.")
        return super().begin(nested=True)

    def commit(self) -> NoReturn:
        self._refuse("session.commit() was called in a transactional step.")

    def rollback(self) -> NoReturn:
        self._refuse("session.rollback() was called in a transactional step.")

    def prepare(self) -> NoReturn:
        self._refuse("session.prepare() was called in a transactional step.")

    def close(self) -> NoReturn:
        self._refuse("The session of a transactional step was closed.")

    def reset(self) -> NoReturn:
        self._refuse("The session of a transactional step was reset.")

    def invalidate(self) -> NoReturn:
        self._refuse("The session of a transactional step was invalidated.")

    def _refuse(self, what: str) -> NoReturn:
        raise TransactionMisusedError(what)


class SqlTransaction:
    """An open transaction on the database's own connection. Made by :func:`open_transaction`."""

    def __init__(self, database: Database, connection: sa.Connection, idle_s: int) -> None:
        self._database = database
        self._mysql = database.dialect == "mysql"
        self._session = BodySession(connection)
        self._ending = self._sent = False
        # A statement that was begun and has not come to a good end.
        self._open = self._failed = self._misused = False
        self.connection = self._session.connection()
        self._prepare(idle_s)
        self.connection.exec_driver_sql(f"SAVEPOINT {_SAVEPOINT}")
        event.listen(connection, "before_cursor_execute", self._before_statement)
        event.listen(connection, "after_cursor_execute", self._after_statement)
        event.listen(connection, "commit", self._before_commit)

    def call(self, handler: Callable[..., object], args: Sequence[object]) -> object:
        """Call the body with the session, and send what it has left to be written."""
        try:
            result = handler(self._session, *args)
            self._session.flush()
        except BaseException as error:
            # It has come to an end, if not to a good one.
            self._open = self._open and not any(isinstance(each, exc.DBAPIError) for each in chain(error))
            raise
        failed = self._failed or self._open
        try:
            self.connection.exec_driver_sql(f"RELEASE SAVEPOINT {_SAVEPOINT}")
        except exc.DBAPIError as error:
            self._open = False
            if error.connection_invalidated:
                raise
            if failed:
                raise RuntimeError(
                    "A statement failed in the body of a transactional step, and the body went on, but the transaction "
                    "could not. Let the error pass, or put the statement into a savepoint: session.begin_nested()."
                ) from error
            raise self._misuse("The body of a transactional step has ended its transaction.") from error
        return result

    def commit(self) -> None:
        """Commit.

        Raises:
            CommitUnanswered: nobody knows whether it is committed. Whatever else is raised says that it is not.
        """
        self._ending = True
        try:
            Session.commit(self._session)
        except BaseException as error:
            if self.connection.get_transaction() is None:
                if not isinstance(error, Exception):
                    raise
                logger.exception(
                    "A listener for after_commit has failed. The transaction is committed all the same.",
                    extra={"action": "after_commit_failed"},
                )
                return
            answered = isinstance(error, exc.DBAPIError) and is_answer(error)
            if answered or not self._sent or not isinstance(error, Exception):
                raise
            raise CommitUnanswered from error

    def close(self) -> None:
        """Roll back what is not committed, and give the connection back as it was, or not at all."""
        self._ending = True
        connection = self.connection
        try:
            if self._misused or self._open or (self._sent and connection.get_transaction() is not None):
                # Interrupted, by a time limit say: nobody knows what the server is about to answer.
                connection.invalidate()
            Session.close(self._session)
            self._restore()
        except exc.DBAPIError as error:
            connection.invalidate(error)

    def _prepare(self, idle_s: int) -> None:
        """Let the body take its time between two statements, and see its own tables."""
        if self._database.dialect == "postgresql":
            settings = [("idle_in_transaction_session_timeout", f"{idle_s}s")]
            if self._database.schema:
                schema = self._database.schema.replace('"', '""')
                settings.append(("search_path", f'"{schema}", "$user", public'))
            self.connection.execute(sa.select(*(sa.func.set_config(name, to, True) for name, to in settings)))
        elif self._is_mariadb:
            self.connection.exec_driver_sql(f"SET SESSION idle_transaction_timeout = {idle_s:d}")

    def _restore(self) -> None:
        if self._is_mariadb and not self.connection.invalidated:
            # Past SQLAlchemy, which would begin a transaction for it.
            cursor = self.connection.connection.cursor()
            cursor.execute(f"SET SESSION idle_transaction_timeout = {self._database.patience:d}")
            cursor.close()

    @property
    def _is_mariadb(self) -> bool:
        return self._mysql and bool(getattr(self.connection.dialect, "is_mariadb", False))

    def _before_statement(self, _connection: sa.Connection, _cursor: object, statement: str, *_rest: object) -> None:
        if not self._ending:
            if _ENDING.match(statement):
                raise self._misuse(f"A transactional step has sent {statement.strip()[:40]!r}.")
            if self._mysql and _IMPLICIT.match(statement):
                what = f"MySQL commits before a statement such as {statement.strip()[:40]!r}, so it was not sent."
                raise self._misuse(what)
        self._failed = self._failed or self._open
        self._open = True

    def _after_statement(self, *_all: object) -> None:
        self._open = False

    def _before_commit(self, _connection: sa.Connection) -> None:
        if not self._ending:
            raise self._misuse("The connection of a transactional step was told to commit.")
        self._sent = True

    def _misuse(self, what: str) -> TransactionMisusedError:
        """Give the error. How the connection stands is not certain any more: nobody else is to have it."""
        self._misused = True
        return TransactionMisusedError(what)


@contextmanager
def open_transaction(database: Database, idle_s: int) -> Iterator[SqlTransaction]:
    """Open a transaction for a body; left without ``commit`` it is rolled back.

    Args:
        database: where.
        idle_s: seconds after which the server ends it when no statement comes (PostgreSQL and MariaDB).
    """
    with database.engine.connect() as connection, database.reserved():
        transaction = SqlTransaction(database, connection, idle_s)
        try:
            yield transaction
        finally:
            transaction.close()


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Give an exception and what it came from, as a traceback shows them."""
    while error is not None:
        yield error
        error = error.__cause__ if error.__suppress_context__ else error.__cause__ or error.__context__


def conflict_in(error: BaseException | None) -> bool:
    """Tell whether an exception, or what it came from, says that the transaction may succeed if it is done again."""
    causes = (each.orig if isinstance(each, exc.DBAPIError) else each for each in chain(error))
    return any(is_of_driver(cause) and says_conflict(cause) for cause in causes)


def is_of_driver(error: BaseException | None) -> bool:
    """Tell a database driver's own error by the class that PEP 249 gives it."""
    return any(kind.__name__ == "DatabaseError" for kind in type(error).__mro__)


def is_answer(error: exc.DBAPIError) -> bool:
    """Tell whether it is the server that says so, and not the driver that has heard nothing of it."""
    return not error.connection_invalidated and says_of_server(error.orig)


def says_of_server(cause: BaseException | None) -> bool:
    """Tell the same from a driver's own error."""
    if getattr(cause, "sqlite_errorcode", None) is not None or getattr(cause, "sqlstate", None) is not None:
        return True
    number = cause.args[0] if cause is not None and cause.args else None
    # MySQL's client library has the numbers from 2000 on to itself.
    return isinstance(number, int) and 1000 <= number < 2000
