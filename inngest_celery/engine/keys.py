"""One run for what is the same: an event id, the value of an expression, one at a time of a kind."""

from __future__ import annotations

import hashlib

from inngest_celery.engine.arrival import Arrival
from inngest_celery.engine.policies import digest, value_of
from inngest_celery.engine.spec import FunctionSpec
from inngest_celery.store.rows import Event


def idempotency_key(spec: FunctionSpec, arrival: Arrival) -> str | None:
    """Give what only one run a day may have: the function's expression says it, else an id that the sender chose.

    A value of null or false is no key: what lacks the field is not all the same.
    """
    if spec.idempotency is not None:
        value = value_of(spec.idempotency, {"event": arrival.variable})
        if value is not None and value is not False:
            return _hash("idempotency", spec.id, digest(value))
    return event_key(spec.id, arrival.event)


def event_key(function_id: str, event: Event) -> str | None:
    """Only an id that the sender chose can come twice."""
    if event.external_id == event.id:
        return None
    return _hash(function_id, event.external_id)


def singleton_key(spec: FunctionSpec, arrival: Arrival) -> str | None:
    """Give what only one run that has not ended may have; none where the key is false, or has no value."""
    if spec.singleton is None:
        return None
    if spec.singleton.key is None:
        return _hash("singleton", spec.id)
    value = value_of(spec.singleton.key, {"event": arrival.variable}, default=False)
    return None if value is False else _hash("singleton", spec.id, digest(value))


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
