"""Keys that are about to end, or that nobody uses; and whether the fallback signing key may go."""

from __future__ import annotations

from collections.abc import Iterator

from inngest_celery.cli.checks.findings import Deployment, Finding, note, warning
from inngest_celery.cli.output import duration, instant
from inngest_celery.store import credentials, event_keys
from inngest_celery.worker import signing_keys
from inngest_celery.worker.signing_keys import KnownKey

_DAY_MS = 86_400_000
_SOON_MS = 14 * _DAY_MS
_UNUSED_MS = 90 * _DAY_MS
# For so long nobody is to use a fallback before it goes: apps that run once a week have run then.
_QUIET_MS = 7 * _DAY_MS


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


def fallback(deployment: Deployment) -> Iterator[Finding]:
    """Whether the fallback signing key is still used, and by whom."""
    if not deployment.migrated or not deployment.settings.signing_key_fallback:
        return
    now = deployment.runtime.clock.now()
    key = next(key for key in signing_keys.known(deployment.runtime) if key.setting == signing_keys.FALLBACK)
    if key.good_until is not None and key.good_until <= now:
        yield note(
            "signing_key_fallback_ended",
            f"The fallback signing key is refused since {instant(key.good_until)}.",
            "Take inngest_signing_key_fallback and inngest_signing_key_fallback_until away.",
        )
    elif key.seen_at is None:
        yield note(
            "signing_key_fallback_unknown",
            "Whether the fallback signing key is used is not known: no use of any has been noted yet.",
            "Servers and workers of this release note it once apps call them.",
        )
    elif (key.used_at or key.seen_at) <= now - _QUIET_MS:
        since = f"since {instant(key.used_at or key.seen_at)}"
        yield note(
            "signing_key_fallback_unused",
            f"The fallback signing key was not used {since}: it may go.",
            "Take inngest_signing_key_fallback away, here and in apps.",
        )
    else:
        yield _still_used(key, now)


def _still_used(key: KnownKey, now: int) -> Finding:
    if key.used_at is None:
        noted = duration(now - (key.seen_at or now))
        text, advice = f"The fallback signing key was not used in the {noted} that it is watched.", "Wait for a week."
    else:
        text = f"The fallback signing key was last used {duration(max(now - key.used_at, 0))} ago by {key.used_by}."
        advice = "Do not remove it yet: set INNGEST_SIGNING_KEY of what still has it to the new one."
    ends_soon = key.good_until is not None and key.good_until <= now + _SOON_MS and key.used_at is not None
    if ends_soon and key.good_until is not None:
        return warning("signing_key_fallback_ends", f"{text} It ends at {instant(key.good_until)}.", advice)
    return note("signing_key_fallback_used", text, advice)
