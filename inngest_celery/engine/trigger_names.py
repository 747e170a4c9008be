"""Which trigger patterns an event's name matches: its own name, and ``app/*`` or ``app/user.*`` above it."""

from __future__ import annotations

MAX_LENGTH = 255
"""Characters of an event name in a trigger."""


def candidates(event_name: str) -> list[str]:
    """List every pattern that matches an event's name, the name itself first, then from the shortest on.

    A router looks up the triggers whose event is in this list.

    Example:
        >>> candidates("app/user.created")
        ['app/user.created', 'app/*', 'app/user.*']

    Mirrors https://www.inngest.com/docs/features/events-triggers#wildcard-event-triggers
    """
    wildcards = [f"{event_name[: at + 1]}*" for at, sign in enumerate(event_name) if sign in "/."]
    return list(dict.fromkeys([event_name, *wildcards]))


def check_pattern(pattern: str) -> None:
    """Refuse an event name or pattern that a trigger cannot have.

    Raises:
        ValueError: it is empty, longer than 255 characters, or has a ``*`` elsewhere than in a last ``/*`` or ``.*``.

    Example:
        >>> check_pattern("app/user.*")
    """
    if not pattern.strip():
        raise ValueError('a trigger needs the name of its event, such as "app/user.created"')
    if len(pattern) > MAX_LENGTH:
        raise ValueError(
            f"the event name {pattern[:32]!r}… has {len(pattern)} characters; at most {MAX_LENGTH} are allowed"
        )
    stem = pattern[:-2] if pattern.endswith(("/*", ".*")) else pattern
    if "*" in stem or not stem:
        raise ValueError(
            f'{pattern!r} is not an event name: "*" may only stand at the end, after a name and "/" or ".", '
            'such as "app/*" or "app/user.*"'
        )
