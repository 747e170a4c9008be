"""What stands in for a function's steps where it runs in the shadow of the code that it is to replace."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from inngest_celery.opcodes import Opcode
from inngest_celery.sdk.errors import StubMissingError
from inngest_celery.sdk.event import Event
from inngest_celery.sdk.session import StepCall

_SEND_EVENT = {"type": "step.sendEvent"}


class Stubs:
    """Lets a function run without effects: no step does anything unless it is listed for that.

    Args:
        gives: by step id, what the step gives in place of what it would do: a value as JSON has it, or a function that
            is called with the arguments that the step's own function would get.
        execute: the ids of steps that are executed all the same, because they only read.
    """

    def __init__(self, gives: Mapping[str, object], execute: Collection[str]) -> None:
        self._gives = dict(gives)
        self._execute = frozenset(execute)

    def stand_in(self, call: StepCall) -> StepCall:
        """Give what is done in place of a step: a step that gives what was said.

        Raises:
            StubMissingError: nothing was said, and the step is of a kind that has no answer of its own.
        """
        if call.step_id in self._execute:
            return call
        return replace(call, op=Opcode.STEP_RUN, opts=None, body=self._body(call), cost=None, transaction=None)

    def _body(self, call: StepCall) -> Callable[[], object]:
        if call.step_id not in self._gives:
            return _silent(call)
        given = self._gives[call.step_id]
        return lambda: _as_json(given(*call.args) if callable(given) else given)


def _silent(call: StepCall) -> Callable[[], object]:
    """Give what a step does of which nothing was said: time passes at once, and nobody is told anything."""
    if call.op is Opcode.SLEEP:
        return lambda: None
    if call.opts == _SEND_EVENT:
        return lambda: {"ids": []}
    raise StubMissingError(call.step_id)


def _as_json(given: object) -> object:
    return given.model_dump(mode="json") if isinstance(given, Event) else given
