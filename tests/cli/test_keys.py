"""Event keys from the command line, and what ``doctor`` says of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from celery import Celery

from inngest_celery.cli.checks import keys
from inngest_celery.cli.checks.examination import examine
from inngest_celery.server.access.senders import Senders
from inngest_celery.testing.inline import Inline
from inngest_celery.worker.runtime import runtime_of
from tests.cli.conftest import RunCli

pytestmark = pytest.mark.databases("sqlite")


def test_keys_are_made_rotated_and_revoked_and_that_stands_in_the_log(
    cli: RunCli, shop: Celery, inline: Inline
) -> None:
    senders = Senders(runtime_of(shop), ())
    assert "No keys" in cli("keys", "list").output
    made = json.loads(cli("keys", "create", "--name", "ci", "--scope", "shop/*", "--expires", "90d", "--json").output)
    assert senders.look_up(made["key"]).scopes == ("shop/*",)
    newer = cli("keys", "rotate", made["id"], "--overlap", "1d").stdout.strip()
    assert senders.look_up(newer).scopes == ("shop/*",)
    listed = json.loads(cli("keys", "list", "--json").output)
    assert [(each["name"], each["replaces"]) for each in listed] == [("ci", made["id"]), ("ci", None)]
    assert "shop/*" in cli("keys", "list").output
    cli("keys", "revoke", made["id"])
    assert "key_not_found" in cli("keys", "revoke", made["id"], status=3).output
    told = json.loads(cli("audit", "list", "--json").output)
    assert [(each["action"], each["outcome"]) for each in told] == [
        ("key.revoke", "key_not_found"),
        ("key.revoke", "done"),
        ("key.rotate", "done"),
        ("key.create", "done"),
    ]
    assert newer not in json.dumps([told, listed])
    assert made["key"] not in json.dumps([told, listed])


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (("create", "--name", "x", "--kind", "signing"), 2, "key_kind_unsupported"),
        (("create", "--name", "x", "--scope", "a*b"), 2, "key_invalid"),
        (("create", "--name", "x", "--expires", "soon"), 2, "--expires"),
        (("rotate", "nothing"), 3, "key_not_found"),
    ],
)
def test_what_keys_refuses(cli: RunCli, inline: Inline, arguments: tuple[str, ...], status: int, code: str) -> None:
    assert code in cli("keys", *arguments, status=status).output


def test_doctor_warns_of_keys_that_end_or_that_nobody_uses(cli: RunCli, shop: Celery, inline: Inline) -> None:
    def found() -> list[str]:
        return [finding.code for finding in examine(shop, None, [keys.ends]) if finding.code.startswith("event_key")]

    made = json.loads(cli("keys", "create", "--name", "ci", "--expires", "100d", "--json").output)
    assert found() == []
    inline.clock.advance(87 * 86_400_000)
    assert found() == ["event_key_expires"]
    cli("keys", "rotate", made["id"])
    assert found() == [], "another one is there"
    inline.clock.advance(95 * 86_400_000)
    assert found() == ["event_key_expires", "event_key_unused"]


def test_doctor_says_whether_the_fallback_signing_key_may_go(cli: RunCli, shop: Celery, inline: Inline) -> None:
    runtime = runtime_of(shop)
    clock = runtime.clock

    def found(**settings: object) -> tuple[str, str]:
        shop.conf.update(settings)
        runtime.renew()
        runtime.__dict__["clock"] = clock
        runtime.__dict__["signing_keys"] = signing
        [finding] = examine(shop, None, [keys.fallback])
        return finding.code, finding.text

    shop.conf.update(inngest_signing_key="ab" * 32)
    signing = runtime.signing_keys
    assert not list(examine(shop, None, [keys.fallback]))
    shop.conf.update(inngest_signing_key_fallback="cd" * 32)
    assert found()[0] == "signing_key_fallback_unknown"
    signing.note("ab" * 32, "app shop")
    signing.write()
    assert found()[0] == "signing_key_fallback_used", "for how long, nobody knows yet"
    inline.clock.advance(8 * 86_400_000)
    assert found()[0] == "signing_key_fallback_unused"
    signing.note("cd" * 32, "app shop")
    signing.write()
    inline.clock.advance(180_000)
    code, text = found()
    assert code == "signing_key_fallback_used"
    assert "3 min" in text
    assert "ago by app shop" in text
    listed = cli("keys", "list").output
    assert "inngest_signing_key_fallback" in listed
    assert "app shop" in listed
    [main, fallback] = json.loads(cli("keys", "list", "--json").output)
    assert (main["kind"], main["setting"], fallback["used_by"]) == ("signing", "inngest_signing_key", "app shop")
    assert "cd" * 32 not in listed
    assert "key_not_found" in cli("keys", "revoke", fallback["id"], status=3).output
    assert "key_not_found" in cli("keys", "rotate", fallback["id"], status=3).output
    soon = datetime.fromtimestamp(inline.clock.now() / 1000 + 86_400, UTC).isoformat()
    assert found(inngest_signing_key_fallback_until=soon)[0] == "signing_key_fallback_ends"
    inline.clock.advance(86_400_000)
    assert found()[0] == "signing_key_fallback_ended"
