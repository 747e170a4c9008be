"""Event keys from the command line, and what ``doctor`` says of them."""

from __future__ import annotations

import json

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
