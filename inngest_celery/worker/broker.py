"""What is raised when the broker, or the result backend beside it, does not answer or does not do what it is asked."""

from __future__ import annotations

from amqp.exceptions import AMQPError
from kombu.exceptions import OperationalError

# Kombu makes an OperationalError of what it takes for passing. What RabbitMQ refuses (a password, a virtual host, a
# queue that exists with other arguments) comes as it is.
BROKER_ERRORS = (OperationalError, AMQPError, OSError)
