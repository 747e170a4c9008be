"""Steps, and what unwinds a function at one."""

from inngest_celery.sdk.errors import Suspended
from inngest_celery.sdk.group import Group, GroupSync
from inngest_celery.sdk.memos import Output, StepMemos
from inngest_celery.sdk.step import Step, StepSync

ResponseInterrupt = Suspended
SkipInterrupt = Suspended

__all__ = [
    "Group",
    "GroupSync",
    "Output",
    "ResponseInterrupt",
    "SkipInterrupt",
    "Step",
    "StepMemos",
    "StepSync",
]
