"""What may be begun, and waits for a worker to take its message."""

from __future__ import annotations

from dataclasses import dataclass

from amqp.exceptions import ChannelError

from inngest_celery.engine.durations import duration
from inngest_celery.store.rows import Job
from inngest_celery.worker.broker import BROKER_ERRORS
from inngest_celery.worker.runtime import Runtime
from inngest_celery.worker.why.reason import Reason

_MANY = 4


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue as the broker and the workers tell of it.

    Attributes:
        length: messages that no worker has fetched; ``None`` if the broker does not tell.
        consumers: the workers that take from it; ``None`` if none was asked or none answers.
    """

    length: int | None
    consumers: list[str] | None


def reason_for(runtime: Runtime, job: Job, now: int, timeout: float) -> Reason:
    """Say why a job that nothing limits has not been begun.

    Args:
        now: milliseconds.
        timeout: seconds to wait for the answers of workers.
    """
    if job.hints == 0:
        return Reason(
            code="not_announced",
            text="It is due, and no message has been sent for it yet.",
            advice="A worker's sweep sends one. If it stays so, run: inngest-celery doctor",
            step=job.name,
            next_at=job.sweep_at,
            queue=job.queue,
        )
    # A sweep comes after this time if the message is not answered: longer each time.
    patience = min(runtime.settings.hint_timeout_ms * 2 ** min(job.hints - 1, 10), 600_000)
    return announced(runtime, job, job.sweep_at - patience, job.hints, now, timeout)


def announced(runtime: Runtime, job: Job, sent_at: int | None, times: int, now: int, timeout: float) -> Reason:
    """Say what becomes of a message that was sent, the last time at ``sent_at`` (milliseconds)."""
    ago = "" if sent_at is None else f" {duration(max(now - sent_at, 0))} ago"
    text = f"Its message was sent to queue {job.queue}{ago}, and no worker has begun it."
    if times >= _MANY:
        text += f" That was number {times}."
    try:
        queue = _ask(runtime, job.queue, timeout)
    except BROKER_ERRORS as error:
        return Reason(
            code="broker_unreachable",
            text=f"{text} The broker does not answer: {error}",
            advice="Bring the broker back; what it has lost is sent again by itself.",
            step=job.name,
            queue=job.queue,
        )
    code = "unanswered" if times >= _MANY else "announced"
    if queue.length is not None:
        text += f" {queue.length} message(s) wait in that queue."
    advice = "A worker that is free takes it. More workers take more; if nothing moves, run: inngest-celery doctor"
    if queue.consumers:
        text += f" Consumed by: {', '.join(queue.consumers)}."
    elif queue.consumers is not None:
        code = "queue_without_worker"
        text += " Of the workers that answer, none consumes it."
        advice = f"Start a worker with -Q {job.queue}."
    elif timeout > 0:
        code = "queue_without_worker"
        text += " No worker answers."
        advice = "Start a worker. One with pool solo does not answer while it runs a task."
    return Reason(code, text, advice, step=job.name, queue=job.queue)


def _ask(runtime: Runtime, queue: str, timeout: float) -> Queue:
    app = runtime.app
    with app.connection_for_read() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=max(timeout, 1))
        try:
            length = connection.default_channel.queue_declare(queue, passive=True).message_count
        except ChannelError:
            # Redis has no queue that is empty.
            length = 0
    answers = (app.control.inspect(timeout=timeout).active_queues() or {}) if timeout > 0 else {}
    consumers = sorted(name for name, taken in answers.items() if any(each["name"] == queue for each in taken))
    return Queue(length, consumers if answers else None)
