"""Who has sent an event, as the server knew it then: kept with the event, beside what the sender says of it."""

from __future__ import annotations

import json
from typing import TypedDict

KEPT_AS = "_sent_by"


class SentBy(TypedDict):
    """A key, a token, a user, a run.

    Attributes:
        kind: how it was known: ``event_key``, ``token``, ``session``, ``signing_key``, ``webhook``, ``command_line``;
            ``run`` of a step that sends events.
        name: the user's, or what the key or token is for; of a run, its function.
        id: of the key, token or run; empty of others.
    """

    kind: str
    name: str
    id: str


def kept_with(extra: str | None, by: SentBy | None) -> str | None:
    """Give what is stored with an event besides its data, with who has sent it, and not who has sent it before.

    Args:
        extra: what is stored otherwise, as JSON text.
        by: who that was, if it is known.
    """
    if by is None and (extra is None or KEPT_AS not in extra):
        return extra
    others = {name: value for name, value in json.loads(extra or "{}").items() if name != KEPT_AS}
    kept = others if by is None else {**others, KEPT_AS: by}
    return json.dumps(kept) if kept else None


def of_event(extra: str | None) -> SentBy | None:
    """Tell who has sent an event, from what is stored with it; ``None`` if that is not known.

    Example:
        >>> of_event(kept_with(None, SentBy(kind="token", name="ci", id="01J")))["name"]
        'ci'
    """
    if extra is None or KEPT_AS not in extra:
        return None
    by: SentBy | None = json.loads(extra).get(KEPT_AS)
    return by
