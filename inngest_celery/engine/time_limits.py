"""Time limits as jobs have them. The body of a step that has one is executed in a message of its own."""

from __future__ import annotations

import json

from inngest_celery.sdk.time_limits import TimeLimits
from inngest_celery.store.rows import Job, JobKind

_KEY = "time_limits"


def kept(limits: TimeLimits) -> dict[str, object] | None:
    """Give what the job of a step keeps of its limits."""
    return {_KEY: [limits.hard, limits.soft]} if limits else None


def limits_of(job: Job) -> TimeLimits | None:
    """Give the limits of the step that a job is for, if it has any."""
    if job.kind is not JobKind.STEP or job.opts is None:
        return None
    found = json.loads(job.opts).get(_KEY)
    return TimeLimits(*found) if found else None
