"""The operations a function's code can ask for, under the names they have on the wire."""

from __future__ import annotations

import enum


class Opcode(enum.Enum):
    """What a step is, as every driver reports it and the engine reads it.

    Example:
        >>> Opcode("StepRun") is Opcode.STEP_RUN
        True

    Mirrors the op codes of https://www.inngest.com/docs/learn/inngest-steps
    """

    STEP_RUN = "StepRun"
    STEP_ERROR = "StepError"
    STEP_FAILED = "StepFailed"
    STEP_PLANNED = "StepPlanned"
    PLANNED = "StepPlanned"  # noqa: PIE796  the official package's name for it
    SLEEP = "Sleep"
    WAIT_FOR_EVENT = "WaitForEvent"
    WAIT_FOR_SIGNAL = "WaitForSignal"
    INVOKE = "InvokeFunction"
    CELERY = "CeleryTask"
    GATEWAY = "Gateway"
    AI_GATEWAY = "AIGateway"
    RUN_COMPLETE = "RunComplete"
