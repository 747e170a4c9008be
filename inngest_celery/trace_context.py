"""W3C trace context, kept with events: the trace of whoever sent one goes on in all that comes of it, days later too.

Nothing here imports OpenTelemetry. Where a process uses it, it is loaded already; where none does, nothing is loaded,
and what came in a header is kept and passed on all the same.

A run's span, and those of its steps, are made by whichever worker sees their end, and are parents of spans that other
workers made long before. So their ids are not drawn but derived, from the ids of the run and of the step.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace

# Under what it is kept with an event, besides what the event's sender may say there.
KEPT_AS = "_trace"
_PARENT, _STATE = "traceparent", "tracestate"
_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_STATE_FORM = re.compile(r"[\x20-\x7e]{1,512}")
SAMPLED = 1


@dataclass(frozen=True, slots=True)
class Trace:
    """A place in a trace.

    Attributes:
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits: whose children the next spans are.
        flags: :data:`SAMPLED`, or 0 if it is not to be recorded.
        state: what else the systems on its way have said; to be passed on.

    Mirrors https://www.w3.org/TR/trace-context/
    """

    trace_id: str
    span_id: str
    flags: int = SAMPLED
    state: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """It as headers of a request or message."""
        parent = f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"
        return {_PARENT: parent, **({_STATE: self.state} if self.state else {})}

    def at(self, *parts: str) -> Trace:
        """Give the place of a span whose id is derived: of a run, or of a step of it."""
        return replace(self, span_id=_digits(16, *parts))


def read(headers: Mapping[str, str]) -> Trace | None:
    """Read it from headers; ``None`` if there is none, or none that can be read.

    Example:
        >>> read({"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}).span_id
        'b7ad6b7169203331'
        >>> read({"traceparent": "nonsense"}) is None
        True
    """
    found = _FORM.fullmatch(headers.get(_PARENT, "").strip()[:512])
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    state = headers.get(_STATE)
    usable = state is not None and _STATE_FORM.fullmatch(state)
    return Trace(trace_id, span_id, int(flags, 16) & SAMPLED, state if usable else None)


def current() -> Trace | None:
    """Give where this process is just now, if it uses OpenTelemetry, and is in a span."""
    api = sys.modules.get("opentelemetry.trace")
    if api is None:
        return None
    context = api.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    state = context.trace_state.to_header() if context.trace_state else None
    return Trace(f"{context.trace_id:032x}", f"{context.span_id:016x}", context.trace_flags & SAMPLED, state)


def kept_with(extra: str | None, trace: Trace | None) -> str | None:
    """Give what is stored with an event besides its data, with where its sender was.

    Args:
        extra: what is stored otherwise, as JSON text.
        trace: where that was, if anywhere.
    """
    if trace is None:
        return extra
    return json.dumps({**(json.loads(extra) if extra else {}), KEPT_AS: trace.headers})


def of_event(extra: str | None) -> Trace | None:
    """Give where the sender of an event was, from what is stored with it."""
    if extra is None or KEPT_AS not in extra:
        return None
    headers = json.loads(extra).get(KEPT_AS)
    return read(headers) if isinstance(headers, dict) else None


def of_run(run_id: str, sent: Trace | None) -> Trace:
    """Give the place of a run's own span: in the trace of whoever sent its event; else in one of its own."""
    return (sent or Trace(_digits(32, "trace", run_id), "")).at("run", run_id)


def _digits(count: int, *parts: str) -> str:
    """Give hexadecimal digits that always belong to these parts: spread evenly, as samplers by ratio need them."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:count]
