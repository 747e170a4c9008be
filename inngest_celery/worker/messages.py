"""The message of a Celery task, put aside as text and sent again as it was: same id, same callbacks, same queue."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from celery import Celery, Task
from kombu.exceptions import EncodeError
from kombu.serialization import dumps

from inngest_celery.crash import crash_point
from inngest_celery.store.rows import Job
from inngest_celery.worker.broker import producer_of

if TYPE_CHECKING:
    from celery.app.task import Context

# Says that flow control has called the task: for which attempt, and under which limits.
CALLED = "inngest_called"
# Says that the task's rate limit has let it pass.
COUNTED = "inngest_counted"

_EMBEDDED = ("callbacks", "errbacks", "chain", "chord")
_PROPERTIES = ("correlation_id", "delivery_mode", "priority", "reply_to")
# What a request has besides the headers of its message: Celery puts all into one. An ETA has passed.
_NO_HEADERS = frozenset(
    {
        *_EMBEDDED,
        "args",
        "called_directly",
        "compression",
        "correlation_id",
        "delivery_info",
        "eta",
        "headers",
        "hostname",
        "is_eager",
        "kwargs",
        "logfile",
        "loglevel",
        "properties",
        "redelivered",
        "reply_to",
        "soft_time_limit",
        "time_limit",
        CALLED,
    }
)


def pack(task: Task, request: Context, **headers: object) -> str:
    """Give the message of a request as JSON text, with more headers.

    Raises:
        EncodeError: no serializer that the app accepts can write the arguments.
    """
    given = request.__dict__
    embed = {name: given.get(name) for name in _EMBEDDED}
    content_type, encoding, body = _encoded(task, (given["args"], given["kwargs"], embed))
    info, properties = given.get("delivery_info") or {}, given.get("properties") or {}
    packed = {
        "headers": {name: value for name, value in given.items() if _is_header(name)} | headers,
        "properties": {name: properties[name] for name in _PROPERTIES if properties.get(name) is not None},
        "exchange": info.get("exchange") or "",
        "routing_key": info.get("routing_key") or "",
        "content_type": content_type,
        "content_encoding": encoding,
        # Text where it is text, so that people can read it.
        **({"text": body} if isinstance(body, str) else {"base64": base64.b64encode(body).decode()}),
    }
    return json.dumps(packed, default=str)


def queue_of(request: Context) -> str:
    """Give the queue that a request came from, as far as it is known: with other exchanges, its routing key."""
    return str((request.delivery_info or {}).get("routing_key") or "")[:255]


def send_again(app: Celery, job: Job) -> None:
    """Send the message that a job keeps, saying that it was called.

    Raises:
        OperationalError, AMQPError, OSError: the broker does not take it.
    """
    crash_point("task_called")
    packed: dict[str, Any] = json.loads(job.opts or "{}")
    called = json.dumps([f"{job.subject_id}/{job.key}", job.flow])
    exchange, routing_key = packed["exchange"], packed["routing_key"]
    # To the default exchange a routing key is a queue's name.
    queue = app.amqp.queues.get(routing_key) if not exchange else None
    with producer_of(app) as producer:
        producer.publish(
            packed["text"] if "text" in packed else base64.b64decode(packed["base64"]),
            content_type=packed["content_type"],
            content_encoding=packed["content_encoding"],
            headers={**packed["headers"], CALLED: called},
            exchange=exchange,
            routing_key=routing_key,
            declare=[queue] if queue is not None else [],
            retry=False,
            **packed["properties"],
        )


def _is_header(name: str) -> bool:
    # Where a message has been dead before is RabbitMQ's to say.
    return name not in _NO_HEADERS and not name.startswith(("_", "x-death", "x-first-death", "x-last-death"))


def _dumps(body: object, serializer: str) -> tuple[str, str, str | bytes]:
    written: tuple[str, str, str | bytes] = dumps(body, serializer=serializer)  # type: ignore[no-untyped-call]
    return written


def _encoded(task: Task, body: tuple[Any, ...]) -> tuple[str, str, str | bytes]:
    """Write a body as its task usually does; else in any way that its workers read."""
    serializers = [task.serializer or task.app.conf.task_serializer, *task.app.conf.accept_content]
    for serializer in serializers[:-1]:
        try:
            return _dumps(body, serializer)
        except EncodeError:
            continue
    return _dumps(body, serializers[-1])
