"""What an action says on the page that follows it: kept in a cookie for as long as the redirect takes."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from fastapi import Request
from starlette.responses import RedirectResponse, Response

_COOKIE = "notice"
_LIFE_S = 15
_LONGEST = 500


@dataclass(frozen=True, slots=True)
class Notice:
    """One sentence, and whether it is about something that has not worked."""

    text: str
    failed: bool


def redirect(to: str, text: str = "", *, failed: bool = False) -> Response:
    """Go on to a page, with something to say there.

    Args:
        to: a path of this server.
        text: what to say.
        failed: whether that is an error.
    """
    response = RedirectResponse(to, status_code=303)
    if text:
        value = base64.urlsafe_b64encode(f"{'!' if failed else ' '}{text[:_LONGEST]}".encode()).decode()
        response.set_cookie(_COOKIE, value, max_age=_LIFE_S, httponly=True, samesite="strict")
    return response


def read(request: Request) -> Notice | None:
    """Give what the action before this page says."""
    value = request.cookies.get(_COOKIE)
    if not value:
        return None
    try:
        text = base64.urlsafe_b64decode(value).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    return Notice(text[1:], text.startswith("!"))


def clear(response: Response) -> None:
    """Say it once."""
    response.delete_cookie(_COOKIE)
