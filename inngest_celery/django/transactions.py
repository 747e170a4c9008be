"""Events and steps in Django's own transactions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from celery import Celery
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from sqlalchemy.exc import DBAPIError

from inngest_celery.django.borrowed import borrowed
from inngest_celery.sdk.errors import TransactionMisusedError
from inngest_celery.store.bodies import CommitUnanswered, chain, is_of_driver, says_of_server
from inngest_celery.store.database import DatabaseError
from inngest_celery.store.errors import lacks_tables
from inngest_celery.worker.outbox import Enlisted
from inngest_celery.worker.runtime import runtime_of

if TYPE_CHECKING:
    from inngest_celery.sdk.client import Inngest
    from inngest_celery.sdk.event import Event

logger = logging.getLogger(__name__)

_SAVEPOINT = "inngest_body"


def send(
    client: Inngest, events: Event | list[Event], *, using: str = "default", skip_middleware: bool = False
) -> list[str]:
    """Send events in Django's transaction: they are sent if it commits, and never if it is rolled back.

    Outside of ``transaction.atomic`` they are sent at once.

    Args:
        client: the client.
        events: one or many, as for ``client.send_sync``.
        using: the database, which has to be the one that runs are kept in.
        skip_middleware: as for ``client.send_sync``.

    Raises:
        EventInvalidError: an event cannot be sent; none was.
        DatabaseError: Django's database has no tables of inngest_celery (code ``database_not_migrated``).

    Example::

        with transaction.atomic():
            order = Order.objects.create(customer=customer)
            send(client, inngest.Event(name="shop/order.placed", data={"order": order.pk}))
    """
    wrapper = connections[using]
    with transaction.atomic(using=using), _explained(wrapper), borrowed(wrapper) as connection:
        tell = partial(transaction.on_commit, using=using, robust=True)
        return client.send_sync(events, skip_middleware=skip_middleware, session=Enlisted(connection, tell))


class DjangoTransaction:
    """An open transaction on Django's connection, for the body of a step. Made by :func:`open_transaction`."""

    def __init__(self, wrapper: BaseDatabaseWrapper, connection: sa.Connection) -> None:
        self.connection = connection
        self.committed = False
        self.wants_commit = False
        self._wrapper = wrapper

    def call(self, handler: Callable[..., object], args: Sequence[object]) -> object:
        """Call the body; the savepoint that it begins with is gone at its end if it has ended the transaction."""
        with self._wrapper.cursor() as cursor:
            cursor.execute(f"SAVEPOINT {_SAVEPOINT}")
        result = handler(None, *args)
        try:
            with self._wrapper.cursor() as cursor:
                cursor.execute(f"RELEASE SAVEPOINT {_SAVEPOINT}")
        except self._wrapper.Database.Error as error:
            raise TransactionMisusedError("The body of a transactional step has ended its transaction.") from error
        return result

    def commit(self) -> None:
        """Have Django commit at the end of its block."""
        self.wants_commit = True


@contextmanager
def open_transaction(app: Celery, using: str) -> Iterator[DjangoTransaction]:
    """Open a transaction on Django's connection; left without ``commit`` it is rolled back.

    Raises:
        CommitUnanswered: nobody knows whether it is committed.
    """
    wrapper = connections[using]
    _check_same(app, wrapper)
    wrapper.close_if_unusable_or_obsolete()
    opened: DjangoTransaction | None = None
    try:
        with transaction.atomic(using=using, durable=True):
            _begin_writing(wrapper)
            with _explained(wrapper), borrowed(wrapper) as connection, runtime_of(app).database.reserved():
                opened = DjangoTransaction(wrapper, connection)
                # The first to hear of the commit: what others do then may fail.
                transaction.on_commit(partial(setattr, opened, "committed", True), using=using)
                yield opened
            if not opened.wants_commit:
                transaction.set_rollback(True, using=using)
    except Exception as error:
        if opened is None or not opened.wants_commit:
            raise
        if opened.committed:
            logger.exception(
                "What on_commit was given has failed. The transaction is committed all the same.",
                extra={"action": "on_commit_failed"},
            )
            return
        cause = next((each for each in chain(error) if is_of_driver(each) and not _is_djangos(each)), None)
        if cause is None or says_of_server(cause):
            raise
        wrapper.close()
        raise CommitUnanswered from error


def _begin_writing(wrapper: BaseDatabaseWrapper) -> None:
    """Queue up for SQLite's one right to write now: who reads first and writes later is refused, not queued."""
    if wrapper.vendor == "sqlite":
        with wrapper.cursor() as cursor:
            cursor.execute("UPDATE inngest_lease SET name = name WHERE 0")


def _is_djangos(error: BaseException) -> bool:
    return type(error).__module__.startswith("django.")


def _check_same(app: Celery, wrapper: BaseDatabaseWrapper) -> None:
    """Refuse a database that is not the one that runs are kept in, as far as its name tells."""
    url, mine = runtime_of(app).database.url, str(wrapper.settings_dict["NAME"])
    kinds = {"postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql", "sqlite": "sqlite"}
    name = url.database or ""
    same = kinds.get(url.get_backend_name()) == wrapper.vendor and (
        Path(name).resolve() == Path(mine).resolve() if wrapper.vendor == "sqlite" else name == mine
    )
    if not same:
        raise DatabaseError(
            "database_differs",
            f'DATABASES["{wrapper.alias}"] is {wrapper.vendor} {mine!r}, but runs are kept in '
            f"{url.render_as_string(hide_password=True)}: rows in the one cannot be committed with outcomes in the "
            "other. Set CELERY_INNGEST_DATABASE_URL to the same database, or leave it out.",
        )


@contextmanager
def _explained(wrapper: BaseDatabaseWrapper) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if lacks_tables(error):
            raise DatabaseError(
                "database_not_migrated",
                f'DATABASES["{wrapper.alias}"] has no tables of inngest_celery, or old ones. Run `manage.py inngest '
                "migrate`; if runs are kept in another database, their events cannot join this one's transactions.",
            ) from error
        raise


class DjangoOpener:
    """Opens transactions of steps on a database of Django's."""

    def __init__(self, using: str) -> None:
        self._using = using

    def open(self, app: Celery) -> Any:
        return open_transaction(app, self._using)

    @contextmanager
    def rehearse(self) -> Iterator[None]:
        """Be part of a test's own transaction."""
        with transaction.atomic(using=self._using):
            yield
