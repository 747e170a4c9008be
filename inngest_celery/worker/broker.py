"""A connection to the broker, and what is raised when it, or the result backend beside it, does not do its part."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from amqp.exceptions import AMQPError
from celery import Celery
from kombu.exceptions import OperationalError

# Kombu makes an OperationalError of what it takes for passing. What RabbitMQ refuses (a password, a virtual host, a
# queue that exists with other arguments) comes as it is.
BROKER_ERRORS = (OperationalError, AMQPError, OSError)


@contextmanager
def producer_of(app: Celery) -> Iterator[Any]:
    """Lend a producer that is connected.

    Raises:
        OperationalError, AMQPError, OSError: the broker does not answer now.
    """
    with app.producer_or_acquire() as producer:
        # Left to itself kombu tries for seconds, with whoever sends an event waiting. The sweep tries again anyway.
        hosts = producer.connection.alt or [None]
        producer.connection.ensure_connection(max_retries=len(hosts) - 1)
        yield producer
