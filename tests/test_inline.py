"""``Inline``, as a user's suite uses it: one app, and one in each test."""

from __future__ import annotations

from datetime import timedelta

from celery import Celery

import inngest_celery as inngest
from inngest_celery.testing import Inline


def test_each_has_a_database_and_a_clock_of_its_own() -> None:
    app = Celery("inline", set_as_current=False)
    client = inngest.Inngest(app_id="inline", celery=app)

    @client.create_function(
        fn_id="once", trigger=inngest.TriggerEvent(event="test/go"), idempotency="event.data.key", retries=0
    )
    def once(ctx: inngest.ContextSync) -> str:
        return "done"

    go = inngest.Event(name="test/go", data={"key": "same"})
    first = Inline(app)
    first.advance(timedelta(days=1))
    assert len(first.send(go)) == 1
    # Most tests do not close theirs.
    second = Inline(app)
    assert client.runs.list() == []
    [run] = second.send(go)
    assert client.runs.get(run.id).output == "done"
    assert second.clock.now() - first.clock.now() < -80_000_000
    second.close()
