"""Run a function in memory, for its tests: no broker, no database, no waiting.

Example:
    >>> import inngest_celery as inngest
    >>> client = Inngest(app_id="shop")
    >>> @client.create_function(fn_id="pay", trigger=inngest.TriggerEvent(event="shop/order.placed"))
    ... def pay(ctx: inngest.ContextSync) -> str:
    ...     ctx.step.sleep("cool off", 86_400_000)
    ...     return ctx.step.run("charge", lambda: "charged")
    >>> trigger(pay, inngest.Event(name="shop/order.placed"), client).output
    'charged'

Mirrors https://www.inngest.com/docs/reference/python/guides/testing
"""

from inngest_celery.experimental.mocked.client import Inngest
from inngest_celery.experimental.mocked.run import Result, Status, Timeout, UnstubbedStepError
from inngest_celery.experimental.mocked.trigger import trigger

__all__ = ["Inngest", "Result", "Status", "Timeout", "UnstubbedStepError", "trigger"]
