"""Who somebody is, and what they may do."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Literal

Kind = Literal["session", "token", "signing_key", "development", "nobody"]


class Role(enum.IntEnum):
    """What somebody may do; each role may do what those before it may.

    Attributes:
        NOBODY: see nothing: a token that only sends events.
        VIEWER: see everything but users, tokens and the log.
        OPERATOR: cancel, rerun, invoke, pause and the like.
        ADMIN: make users and tokens, and read the log.

    Example:
        >>> Role.VIEWER < Role.ADMIN, Role["OPERATOR"].label
        (True, 'operator')

    Mirrors https://www.inngest.com/docs/platform/manage/rbac
    """

    NOBODY = 0
    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3

    @property
    def label(self) -> str:
        return self.name.lower()


# What a user can be given.
ROLES = (Role.VIEWER, Role.OPERATOR, Role.ADMIN)
SEND_EVENTS = "events:send"
# What a token's scopes allow.
SCOPES = {"read": Role.VIEWER, "operate": Role.OPERATOR, "admin": Role.ADMIN, SEND_EVENTS: Role.NOBODY}


@dataclass(frozen=True, slots=True)
class Person:
    """Whoever makes a request: somebody in a browser, or a program.

    Attributes:
        name: of the user or token.
        role: what it may do.
        kind: how it proved to be it: a session's cookie, an API token, the signing key; or ``development``: nothing is
            asked of those who sit at the machine of a development server.
        session_id: of a session.
        token_id: of an API token, whose name others may have, too.
    """

    name: str
    role: Role
    kind: Kind
    session_id: str | None = None
    token_id: str | None = None
