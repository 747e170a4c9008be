"""Rules that mean nothing are refused before anything starts, and the message says what would do."""

from __future__ import annotations

import pytest
from celery import Celery

from inngest_celery.settings import SettingsError, settings_of


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ({"paht": "data.x"}, "paht"),
        ({}, "give it a path, a pattern, or both"),
        ({"path": "card.number"}, "begins with none of event.data"),
        ({"path": "data."}, "not understood from '.'"),
        ({"path": "data.x[*"}, "not understood"),
        ({"path": "event.name"}, "leads to no payload"),
        ({"path": "data"}, "write data.* for all"),
        ({"pattern": "cardnumber"}, "there are card_number, email, iban, phone, token"),
        ({"pattern": "regex:(a"}, "no regular expression"),
        ({"pattern": r"regex:(a)\1"}, "no backreferences"),
        ({"pattern": "regex:x*"}, "matches nothing at all"),
        ({"path": "data.x", "at": "stored"}, "'show' or 'store'"),
        ({"path": "data.x", "as": "sha"}, "'redact', 'last4' or 'hash'"),
        ({"path": "data.x", "at": "store", "reveal": "admin"}, "cannot be revealed"),
        ({"path": "data.x", "at": "store", "function": "shop-a"}, "name the event instead"),
        ({"path": "data.x", "reveal": "viewer"}, "'operator' or 'admin'"),
        ({"path": "data.x", "as": "hash"}, "set inngest_masking_key"),
    ],
)
def test_bad_rules(rule: dict[str, object], problem: str) -> None:
    app = Celery(set_as_current=False)
    app.conf.inngest_masking = [rule]
    with pytest.raises(SettingsError) as refused:
        settings_of(app)
    assert problem in str(refused.value)
    assert "inngest_masking" in str(refused.value)


def test_rules_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INNGEST_MASKING", '[{"pattern": "email", "reveal": "admin", "as": "last4"}]')
    [rule] = settings_of(Celery(set_as_current=False)).masking
    assert (rule.pattern, rule.reveal, rule.as_, rule.at) == ("email", ("admin",), "last4", "show")
    monkeypatch.setenv("INNGEST_MASKING", "[{")
    with pytest.raises(SettingsError, match="is no JSON"):
        settings_of(Celery(set_as_current=False))


@pytest.mark.parametrize("keys", ["abc", "ab" * 31, "é" * 44, f"{'ab' * 32},x"])
def test_bad_keys_are_refused_and_not_shown(keys: str) -> None:
    app = Celery(set_as_current=False)
    app.conf.inngest_secret_key = keys
    with pytest.raises(SettingsError, match="openssl rand -base64 32") as refused:
        settings_of(app)
    assert keys not in str(refused.value)
