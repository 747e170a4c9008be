"""Keys that are about to end, or that nobody uses."""

from __future__ import annotations

from collections.abc import Iterator

from inngest_celery.cli.checks.findings import Deployment, Finding, note, warning
from inngest_celery.cli.output import instant
from inngest_celery.store import credentials, event_keys

_DAY_MS = 86_400_000
_SOON_MS = 14 * _DAY_MS
_UNUSED_MS = 90 * _DAY_MS


def ends(deployment: Deployment) -> Iterator[Finding]:
    """Event keys that expire soon and have no successor, and those that were not used for three months."""
    if not deployment.migrated:
        return
    now = deployment.runtime.clock.now()
    with deployment.runtime.database.autocommit() as connection:
        known = event_keys.all_of(connection)
    good = [key for key in known if credentials.is_good(key, now)]
    replaced = {key.replaces for key in good}
    for key in good:
        if key.expires_at is not None and key.expires_at <= now + _SOON_MS and key.id not in replaced:
            yield warning(
                "event_key_expires",
                f"The event key {key.name!r} ({key.id}) is good until {instant(key.expires_at)}.",
                f"`inngest-celery keys rotate {key.id}` makes one in its place, and both are good for a while.",
            )
        if (key.used_at or key.created_at) <= now - _UNUSED_MS:
            used = f"was used last at {instant(key.used_at)}" if key.used_at else "was never used"
            yield note(
                "event_key_unused",
                f"The event key {key.name!r} ({key.id}) {used}.",
                f"If nobody needs it: `inngest-celery keys revoke {key.id}`.",
            )
