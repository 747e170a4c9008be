"""What the environment says: keys, mode and the servers' addresses. The official variables keep their meaning."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from inngest_celery.sdk.errors import URLInvalidError

CLOUD_API = "https://api.inngest.com/"
CLOUD_EVENTS = "https://inn.gs/"
DEV_SERVER = "http://127.0.0.1:8288/"

_ENV_NAMES = ("INNGEST_ENV", "RAILWAY_GIT_BRANCH", "RENDER_GIT_BRANCH", "VERCEL_GIT_COMMIT_REF")


def is_production(given: bool | None) -> bool:
    """Tell production from development: the argument decides, then ``INNGEST_DEV``; production is the default."""
    if given is not None:
        return given
    return os.environ.get("INNGEST_DEV", "").lower() in {"", "0", "false"}


def env_name(given: str | None) -> str | None:
    """Give the name of the (branch) environment."""
    return given or next((os.environ[name] for name in _ENV_NAMES if os.environ.get(name)), None)


def key(given: str | None, variable: str) -> str | None:
    """Give a key from the argument or a variable; empty is none."""
    return given or os.environ.get(variable) or None


def origin(given: str | None, variable: str, *, production: bool) -> str | None:
    """Give the address of a server that was named, or None if none was.

    The argument comes first, then the variable for this API, ``INNGEST_BASE_URL`` and ``INNGEST_DEV``. An address
    without a scheme gets ``https`` in production and ``http`` in development.

    Raises:
        URLInvalidError: the argument is no address. A variable that is none is passed over, since ``INNGEST_DEV=1``
            is a switch and no address.
    """
    if given:
        return _parse(given, production)
    for name in (variable, "INNGEST_BASE_URL", "INNGEST_DEV"):
        value = os.environ.get(name)
        if value:
            try:
                return _parse(value, production)
            except URLInvalidError:
                continue
    return None


def _parse(text: str, production: bool) -> str:
    url = text if text.startswith(("http://", "https://")) else f"{'https' if production else 'http'}://{text}"
    parts = urlsplit(url)
    try:
        known = bool(parts.port) or "." in (parts.hostname or "")
    except ValueError:
        known = False
    if not known:
        raise URLInvalidError(
            message=f'invalid URL: "{text}" has no domain or port. Write for example "http://localhost:8288".'
        )
    return url
