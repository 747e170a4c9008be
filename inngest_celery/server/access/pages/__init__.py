"""Pages: logging in and out, one's own account, users, tokens, keys, and the log."""

from __future__ import annotations

from fastapi import APIRouter

from inngest_celery.server.access.pages import account, keys, log, login, single_sign_on, tokens, users

router = APIRouter(include_in_schema=False)
for each in (login.router, single_sign_on.router, account.router, users.router, tokens.router, keys.router, log.router):
    router.include_router(each)
