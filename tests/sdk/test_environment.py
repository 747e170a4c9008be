"""The environment means to our client what it means to the official one."""

from __future__ import annotations

from typing import Any

import inngest as official
import pytest

import inngest_celery as inngest

CASES: list[tuple[dict[str, str], dict[str, Any]]] = [
    ({}, {}),
    ({}, {"is_production": False}),
    ({"INNGEST_DEV": "1"}, {}),
    ({"INNGEST_DEV": "0"}, {}),
    ({"INNGEST_DEV": "FALSE"}, {}),
    ({"INNGEST_DEV": "http://localhost:9999"}, {}),
    ({"INNGEST_DEV": "localhost:9999"}, {}),
    ({"INNGEST_DEV": "http://localhost:9999"}, {"is_production": True}),
    ({"INNGEST_BASE_URL": "http://a.example/x"}, {}),
    ({"INNGEST_BASE_URL": "a.example", "INNGEST_EVENT_API_BASE_URL": "e.example:80"}, {}),
    ({"INNGEST_BASE_URL": "a.example", "INNGEST_API_BASE_URL": "p.example"}, {"event_api_base_url": "q.example"}),
    ({"INNGEST_BASE_URL": "inngest"}, {}),
    ({"INNGEST_BASE_URL": "http://inngest"}, {}),
    ({"INNGEST_DEV": "1", "INNGEST_BASE_URL": "b.example"}, {}),
    ({}, {"event_api_base_url": "e.example", "is_production": False}),
    ({}, {"event_api_base_url": ""}),
    ({}, {"api_base_url": "localhost:1234"}),
    ({"INNGEST_EVENT_KEY": "k", "INNGEST_SIGNING_KEY": "s", "INNGEST_SIGNING_KEY_FALLBACK": "f"}, {}),
    ({"INNGEST_EVENT_KEY": "k"}, {"event_key": "argument", "signing_key": ""}),
    ({"INNGEST_ENV": "staging", "RAILWAY_GIT_BRANCH": "main"}, {}),
    ({"RENDER_GIT_BRANCH": "feature"}, {}),
    ({"VERCEL_GIT_COMMIT_REF": "feature"}, {"env": "mine"}),
    ({}, {"app_version": "1.2"}),
]
PROPERTIES = (
    "is_production",
    "api_origin",
    "event_api_origin",
    "env",
    "event_key",
    "signing_key",
    "signing_key_fallback",
    "app_version",
)


@pytest.mark.parametrize(("variables", "arguments"), CASES)
def test_same_as_the_official_client(
    variables: dict[str, str], arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    mine, theirs = inngest.Inngest(app_id="a", **arguments), official.Inngest(app_id="a", **arguments)
    assert {name: getattr(mine, name) for name in PROPERTIES} == {name: getattr(theirs, name) for name in PROPERTIES}


@pytest.mark.parametrize("url", ["http://inngest", "localhost", "http://a.example:port"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(inngest.URLInvalidError, match="no domain or port") as caught:
        inngest.Inngest(app_id="a", event_api_base_url=url)
    assert caught.value.code == "url_invalid"


@pytest.mark.parametrize(
    ("variables", "arguments", "http"),
    [
        ({}, {}, False),
        ({"INNGEST_DEV": "1"}, {"event_key": "k"}, False),
        ({"INNGEST_API_BASE_URL": "a.example"}, {}, False),
        ({"INNGEST_DEV": "http://localhost:8288"}, {}, True),
        ({"INNGEST_BASE_URL": "a.example"}, {}, True),
        ({"INNGEST_EVENT_API_BASE_URL": "a.example"}, {}, True),
        ({}, {"event_api_base_url": "a.example"}, True),
    ],
)
def test_events_go_to_a_server_only_if_one_is_named(
    variables: dict[str, str], arguments: dict[str, Any], http: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert inngest.Inngest(app_id="a", **arguments).sends_over_http is http


def test_the_current_celery_app_is_the_default() -> None:
    from celery import current_app

    assert inngest.Inngest(app_id="a").celery is current_app._get_current_object()
