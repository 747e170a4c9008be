"""Users, tokens and the log, from the command line."""

from __future__ import annotations

import json

import pytest
from argon2 import PasswordHasher
from celery import Celery

from inngest_celery.cli import dev, start
from inngest_celery.server.access import api_tokens, passwords
from inngest_celery.server.access.roles import SEND_EVENTS, Role
from inngest_celery.store import users
from inngest_celery.store.database import Database
from inngest_celery.testing.inline import Inline
from inngest_celery.worker.runtime import runtime_of
from tests.cli.conftest import RunCli

pytestmark = pytest.mark.databases("sqlite")

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch, inline: Inline) -> None:
    monkeypatch.setattr(passwords, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


def test_users(cli: RunCli, database: Database) -> None:
    assert "users add NAME" in cli("users", "list").output
    assert "ada may log in, as admin" in cli("users", "add", "Ada", "--role", "admin", text=f"{PASSWORD}\n").output
    made = json.loads(cli("users", "add", "bob", "--json", text=f"{PASSWORD}\n").output)
    assert (made["name"], made["role"], made["disabled_at"]) == ("bob", "viewer", None)
    cli("users", "role", "Bob", "operator")
    cli("users", "disable", "bob")
    listed = json.loads(cli("users", "list", "--json").output)
    assert [(each["name"], each["role"], bool(each["disabled_at"])) for each in listed] == [
        ("ada", "admin", False),
        ("bob", "operator", True),
    ]
    cli("users", "enable", "bob")
    cli("users", "password", "bob", text="another battery staple\n")
    with database.autocommit() as connection:
        bob = users.get(connection, "bob")
    assert bob is not None
    assert passwords.is_right(bob.password, "another battery staple")
    assert bob.disabled_at is None


@pytest.mark.parametrize(
    ("arguments", "text", "status", "code"),
    [
        (("add", "a b"), PASSWORD, 2, "user_name_invalid"),
        (("add", "bob"), "short", 2, "password_invalid"),
        (("add", "bob"), "", 2, "Type the password"),
        (("add", "ada"), PASSWORD, 2, "user_name_invalid"),
        (("role", "nobody", "admin"), "", 3, "user_not_found"),
        (("disable", "ada"), "", 3, "last_admin"),
        (("role", "ada", "king"), "", 2, "king"),
    ],
)
def test_what_users_refuses(cli: RunCli, arguments: tuple[str, ...], text: str, status: int, code: str) -> None:
    cli("users", "add", "ada", "--role", "admin", text=PASSWORD)
    assert code in cli("users", *arguments, text=text, status=status).output


def test_tokens(cli: RunCli, shop: Celery) -> None:
    runtime = runtime_of(shop)
    made = json.loads(cli("tokens", "create", "grafana", "--scope", "read", "--expires", "90d", "--json").output)
    holder = api_tokens.holder_of(runtime, made["token"])
    assert holder is not None
    assert (holder.name, holder.role) == ("grafana", Role.VIEWER)
    printed = cli("tokens", "create", "shop", "--scope", SEND_EVENTS).stdout.strip()
    assert api_tokens.sender_of(runtime, printed) is not None
    listed = cli("tokens", "list", "--json").output
    assert [each["name"] for each in json.loads(listed)] == ["shop", "grafana"]
    assert made["token"] not in listed
    cli("tokens", "revoke", made["id"])
    assert api_tokens.holder_of(runtime, made["token"]) is None
    assert "token_not_found" in cli("tokens", "revoke", made["id"], status=3).output
    assert "--expires" in cli("tokens", "create", "x", "--scope", "read", "--expires", "soon", status=2).output


def test_what_was_done_stands_in_the_log(cli: RunCli) -> None:
    assert "Nothing was done" in cli("audit", "list").output
    cli("users", "add", "ada", "--role", "admin", text=PASSWORD)
    cli("users", "disable", "ada", status=3)
    told = json.loads(cli("audit", "list", "--json").output)
    assert [(each["action"], each["subject"], each["kind"], each["outcome"]) for each in told] == [
        ("user.disable", "ada", "command_line", "last_admin"),
        ("user.add", "ada", "command_line", "done"),
    ]
    assert PASSWORD not in json.dumps(told)
    older = json.loads(cli("audit", "list", "--json", "--before", told[0]["id"], "--action", "user.add").output)
    assert older == told[1:]
    assert "user.disable" in cli("audit", "list", "--subject", "ada").output


def test_start_says_how_to_log_in_until_somebody_can(
    cli: RunCli, shop: Celery, capsys: pytest.CaptureFixture[str]
) -> None:
    start._greet_first(shop)
    assert "inngest-celery users add NAME --role admin" in capsys.readouterr().out
    cli("users", "add", "ada", "--role", "admin", text=PASSWORD)
    start._greet_first(shop)
    assert capsys.readouterr().out == ""


def test_dev_says_who_may_come_from_other_machines(capsys: pytest.CaptureFixture[str]) -> None:
    dev._say_who_may("127.0.0.1", ())
    dev._say_who_may("0.0.0.0", ("inngest",))
    assert capsys.readouterr().out == ""
    dev._say_who_may("0.0.0.0", ())
    assert "--allowed-host" in capsys.readouterr().out
