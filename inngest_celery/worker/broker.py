"""A connection to the broker, and what is raised when it, or the result backend beside it, does not do its part."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from amqp.exceptions import AMQPError
from celery import Celery
from kombu.exceptions import OperationalError
from kombu.pools import producers

# Kombu makes an OperationalError of what it takes for passing. What RabbitMQ refuses (a password, a virtual host, a
# queue that exists with other arguments) comes as it is.
BROKER_ERRORS = (OperationalError, AMQPError, OSError)

_POOL = "inngest_producers"
_REDIS_TIMEOUTS = ("socket_timeout", "socket_connect_timeout")
_REDIS_OR_CLUSTER = ("redis", "rediss", "valkey", "valkeys", "sentinel")


@contextmanager
def producer_of(app: Celery) -> Iterator[Any]:
    """Lend a producer that is connected.

    A broker that takes connections and does not answer, or whose machine is gone, is waited for no longer than Celery's
    ``broker_connection_timeout``, at each address: whoever sends an event waits meanwhile.

    Raises:
        OperationalError, AMQPError, OSError: the broker does not answer now.
    """
    with _pool_of(app).acquire(block=True, timeout=app.conf.broker_pool_acquire_timeout) as producer:
        connection = producer.connection
        # Left to itself kombu tries for seconds, with whoever sends an event waiting. The sweep tries again anyway.
        hosts = connection.alt or [None]
        connection.ensure_connection(max_retries=len(hosts) - 1)
        _bound(connection, app.conf.broker_connection_timeout)
        try:
            yield producer
        except connection.connection_errors as error:
            _drop(connection)
            raise OperationalError(str(error)) from error


def _pool_of(app: Celery) -> Any:
    """Give producers of our own: those of the app wait as long as the app says, which may be for ever."""
    process = os.getpid()
    made, pool = app.__dict__.get(_POOL, (None, None))
    if made != process:
        connection = app.connection_for_write()
        if connection.transport_cls in _REDIS_OR_CLUSTER:
            bounds = dict.fromkeys(_REDIS_TIMEOUTS, app.conf.broker_connection_timeout)
            connection.transport_options = {**bounds, **connection.transport_options}
        pool = producers[connection]
        pool.limit = app.pool.limit
        app.__dict__[_POOL] = process, pool
    return pool


def _bound(connection: Any, timeout: float | None) -> None:
    """Let RabbitMQ's client wait for an answer, or for room to send, so long; Redis's has it from its options."""
    transport = getattr(connection.connection, "transport", None)
    if transport is not None and transport.sock is not None:
        transport.sock.settimeout(timeout)


def _drop(connection: Any) -> None:
    """Close the socket without a word: to take leave of a broker that does not answer takes as long again."""
    transport = getattr(connection.connection, "transport", None)
    if transport is not None:
        connection.connection.collect()
