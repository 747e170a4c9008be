"""What Flower needs of the configuration, to show runs as they are and to do no harm when nobody looks."""

from __future__ import annotations

from collections.abc import Iterator

from inngest_celery.cli.checks.findings import Deployment, Finding, note, warning


def task_events(deployment: Deployment) -> Iterator[Finding]:
    conf = deployment.conf
    if conf.task_send_sent_event:
        yield warning(
            "task_send_sent_event",
            "task_send_sent_event is on: its events carry the own name of a task, so Flower may show steps without "
            "theirs, and counts every message of a function under both.",
            "Turn it off; Flower does not need it. Events of workers (-E) tell when a task was received.",
        )
    if deployment.settings.flower_url and not conf.worker_send_task_events:
        yield note(
            "task_events_off",
            "inngest_flower_url is set, but workers send no task events by themselves: Flower shows what happens after "
            "it has asked for them, and a worker that starts while Flower is away sends none.",
            "Start workers with -E, or set worker_send_task_events.",
        )


def events_queue(deployment: Deployment) -> Iterator[Finding]:
    """What Flower does not read must not pile up in the broker."""
    conf = deployment.conf
    lacking = [name for name in ("event_queue_ttl", "event_queue_expires") if not conf[name]]
    if lacking and str(deployment.conf.broker_url or "").startswith("amqp"):
        yield warning(
            "event_queue_unbounded",
            f"{' and '.join(lacking)} not set: while Flower is away its queue in RabbitMQ grows with every task.",
            "Leave both at Celery's defaults, 5 and 60 seconds.",
        )
