"""What the Celery app's configuration says, without asking anybody."""

from __future__ import annotations

from collections.abc import Iterator

from inngest_celery.cli.checks.findings import Deployment, Finding, note, problem, warning

_REDIS_VISIBILITY = 3600.0
_GREEN = ("eventlet", "gevent")
_REDIS = ("redis://", "rediss://", "valkey://", "sentinel://")


def eager(deployment: Deployment) -> Iterator[Finding]:
    if deployment.conf.task_always_eager:
        yield problem(
            "task_always_eager",
            "task_always_eager is on: Celery calls tasks in place instead of sending them, so steps run inside whoever "
            "sends an event.",
            "Turn it off. In tests use inngest_celery.testing.Inline, which needs no broker either.",
        )


def horizon(deployment: Deployment) -> Iterator[Finding]:
    """A message that waits for its ETA longer than the broker is patient is delivered a second time."""
    url, wanted = str(deployment.conf.broker_url or ""), deployment.settings.horizon
    given = (deployment.conf.broker_transport_options or {}).get("visibility_timeout")
    if url.startswith(_REDIS) and wanted > (patience := float(given or _REDIS_VISIBILITY)) / 3:
        yield problem(
            "horizon_too_long",
            f"inngest_horizon is {wanted:g} s, but Redis hands out a message anew after {patience:g} s "
            "(visibility_timeout).",
            f"Set inngest_horizon to at most {patience / 3:g}, or visibility_timeout in broker_transport_options to at "
            f"least {wanted * 3:g}.",
        )
    elif url.startswith(_REDIS) and given and float(given) < 3 * deployment.settings.lease:
        yield warning(
            "visibility_timeout_short",
            f"visibility_timeout is {float(given):g} s: every step that takes longer is delivered again. The lease "
            "lets it run once, but the messages add up. Your other tasks may run twice.",
            "Raise visibility_timeout in broker_transport_options above your longest task.",
        )
    elif url.startswith("amqp"):
        yield note(
            "consumer_timeout_unknown",
            "RabbitMQ closes the channel of a worker that does not acknowledge a message within consumer_timeout (30 "
            "minutes unless configured), and Celery acknowledges a step when it is done.",
            f"Keep consumer_timeout above your longest step and above {wanted * 3:g} s. It cannot be read from here.",
        )


def results(deployment: Deployment) -> Iterator[Finding]:
    conf = deployment.conf
    if not conf.result_backend or str(conf.result_backend).startswith("disabled"):
        yield note(
            "result_backend_missing",
            "No result backend is set, so function.delay(…).get() cannot give a run's result.",
            "Set result_backend if you call functions as Celery tasks. Runs do not need it.",
        )
    elif conf.task_ignore_result:
        yield note(
            "task_ignore_result",
            "task_ignore_result is on, so function.delay(…).get() does not give a run's result.",
            'Give the functions that you call as Celery tasks celery_options={"ignore_result": False}.',
        )


def pool(deployment: Deployment) -> Iterator[Finding]:
    pools = {f"worker {name}": used for name, used in deployment.workers.pools.items()}
    pools["worker_pool"] = str(deployment.conf.worker_pool)
    for where, used in pools.items():
        if any(green in used for green in _GREEN):
            yield warning(
                "pool_green",
                f"{where} is {used}: functions that are coroutines run on an event loop in a thread of their own, "
                "which a monkey-patched process does not have.",
                "Use prefork or threads for the queues of your functions; other queues may keep their pool.",
            )


def sqlite(deployment: Deployment) -> Iterator[Finding]:
    hosts = {name.partition("@")[2] for name in deployment.workers.queues}
    if deployment.runtime.database.dialect == "sqlite" and len(hosts) > 1:
        yield problem(
            "sqlite_shared",
            f"The database is a SQLite file, but workers run on several machines: {', '.join(sorted(hosts))}.",
            "Use PostgreSQL or MySQL: set inngest_database_url.",
        )
