"""A limit, and a place in line, in words."""

from __future__ import annotations

from collections.abc import Mapping

from inngest_celery.engine import policies
from inngest_celery.engine.durations import duration, format_duration
from inngest_celery.worker.why.reason import InLine


def place_in_words(found: InLine, now: int) -> str:
    """Say what a step waits for, and for how many others; ``now`` is in milliseconds."""
    return f"It waits in line for {found.policy}: {_limit(found, now)}. {_use(found)} {_place(found)}"


def limit_in_words(policy: str, limit: Mapping[str, float]) -> str:
    """Say what a limit allows.

    Example:
        >>> limit_in_words("concurrency.0", {"limit": 5})
        'at most 5 steps at a time'
        >>> limit_in_words("throttle", {"limit": 20, "period": 60_000, "burst": 1})
        'at most 20 starts in 1m, 1 more at once'
    """
    number = limit["limit"]
    most = f"at most {number:.12g}"
    if "period" not in limit:
        return f"{most} {_counted('run' if policy.startswith('run_concurrency') else 'step', number)} at a time"
    what = "spent" if policy == policies.BUDGET else _counted("start", number)
    burst = f", {limit['burst']:.12g} more at once" if limit.get("burst") else ""
    return f"{most} {what} in {format_duration(round(limit['period']))}{burst}"


def advice_for(function_id: str, found: InLine) -> str:
    """Say what would let a step go on."""
    changes = {
        policies.BUDGET: "when enough of the window has passed",
        "throttle": "when its turn has come",
    }.get(found.policy, "when one of those ends and its turn has come")
    option = f"--limit {found.limit['limit'] + 1:.12g}" if found.policy.partition(".")[2] else "--limit N"
    command = f"inngest-celery limits set {function_id} {found.policy} {option}"
    advice = f"It goes on by itself {changes}. Raise the limit: {command}"
    if found.is_set:
        advice += f" --for 1h, or let the code's hold again: inngest-celery limits reset {function_id} {found.policy}"
    return advice


def _limit(found: InLine, now: int) -> str:
    said = limit_in_words(found.policy, found.limit)
    if found.key is not None:
        said += f" for {found.key} = {found.value}"
    if found.is_set:
        until = found.set_until
        left = "until it is reset" if until is None else f"for another {duration(max(until - now, 0))}"
        said += f" (set by an operator, {left})"
    return said


def _use(found: InLine) -> str:
    most = found.limit["limit"]
    if found.policy == policies.BUDGET:
        return f"{found.taken:.12g} of {most:.12g} is spent."
    if found.policy == "throttle":
        return "No start is left for now."
    said = f"{found.taken:.12g} of {most:.12g} {_counted('place', most)} {'is' if most == 1 else 'are'} taken"
    who = ", ".join(f"{holder.run_id}{f' ({holder.step})' if holder.step else ''}" for holder in found.holders)
    more = ", …" if len(found.holders) < found.taken else ""
    return f"{said}, by {who}{more}." if who else f"{said}."


def _place(found: InLine) -> str:
    if not found.jobs_before:
        return "It is the next."
    keys = f"; {found.keys_before} other key(s) have their turn first" if found.keys_before else ""
    return f"{found.jobs_before} job(s) go before it{keys}."


def _counted(noun: str, number: float) -> str:
    return noun if number == 1 else f"{noun}s"
