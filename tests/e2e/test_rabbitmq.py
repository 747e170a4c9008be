"""RabbitMQ's replicated (quorum) queues, with delays that the broker itself keeps; and confirmed publishers."""

from __future__ import annotations

import pytest
from amqp.exceptions import PreconditionFailed

from tests.e2e.conftest import OpenShop
from tests.e2e.shop import Shop


@pytest.mark.databases("postgres")
@pytest.mark.brokers("rabbitmq")
@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_worker_is_killed_on_each_kind_of_queue(kind: str, open_shop: OpenShop) -> None:
    shop = open_shop(horizon=60)
    conf: dict[str, object] = {"broker_transport_options": {"confirm_publish": True}}
    if kind == "quorum":
        conf |= {"task_default_queue_type": "quorum", "task_default_exchange_type": "topic"}
    shop.configure(**conf)
    victim = shop.worker(pool="prefork", concurrency=2)
    shop.worker(pool="threads", concurrency=2)
    shop.place(4)
    shop.wait_for_bodies(6)
    victim.sigkill()
    shop.wait_for_runs()
    # The bodies that the dead worker was in.
    shop.check(repeats=2)
    assert queue_kind(shop) == kind
    assert keeps_delays(shop) == (kind == "quorum")


def queue_kind(shop: Shop) -> str:
    """Give the kind of the queue: only who names the right one may declare it again."""
    for kind in ("classic", "quorum"):
        with shop.celery.connection_for_write() as connection:
            channel = connection.default_channel
            try:
                channel.queue_declare("celery", durable=True, auto_delete=False, arguments={"x-queue-type": kind})
            except PreconditionFailed:
                continue
            return kind
    raise AssertionError("the queue is of neither kind")


def keeps_delays(shop: Shop) -> bool:
    """Tell whether Celery has made the exchanges through which RabbitMQ delays messages."""
    with shop.celery.connection_for_write() as connection:
        try:
            connection.default_channel.exchange_declare("celery_delayed_0", "topic", passive=True)
        except connection.channel_errors:
            return False
        return True
