"""Where a server may be sent: not into its own network, however a name is answered from look-up to look-up."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response

from inngest_celery.drivers.http import addresses, transport
from tests.server.web import served

PUBLIC, OURS = "93.184.215.14", "127.0.0.1"


class Names:
    """Names with the addresses that they get, look-up after look-up; there is no DNS server that tests may change."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._known: dict[str, list[str]] = {}
        self._look_up = socket.getaddrinfo
        patch.setattr(socket, "getaddrinfo", self._answer)

    def give(self, name: str, *found: str) -> None:
        self._known[name] = list(found)

    def _answer(self, host: Any, port: Any, *options: Any, **named: Any) -> Any:
        known = self._known.get(host)
        if known is None:
            return self._look_up(host, port, *options, **named)
        address = known.pop(0) if len(known) > 1 else known[0]
        return self._look_up(address, port, *options, **named)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    transport._client.cache_clear()
    for variable in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)
    yield Names(monkeypatch)
    transport._client.cache_clear()


class Inside:
    """A server in our network. It notes by which name it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.app = FastAPI()
        self.app.post("/")(self._answer)
        self.app.post("/away")(self._redirect)

    async def _answer(self, request: Request) -> Response:
        self.asked.append(request.headers["host"])
        return Response("secret")

    async def _redirect(self, to: str) -> Response:
        return RedirectResponse(to, 307)


def test_a_name_that_leads_inside_at_the_second_look_is_refused(names: Names) -> None:
    inside = Inside()
    with served(inside.app) as origin:
        port = origin.rpartition(":")[2]
        for looks in range(1, 4):
            names.give(f"rebind{looks}.test", *[PUBLIC] * looks, OURS)
            with pytest.raises(transport.NoResponse) as refused:
                transport.send("POST", f"http://rebind{looks}.test:{port}/", b"", {}, private=False, timeout_s=0.5)
            # Either it is seen, or the address that was seen is the one that does not answer.
            assert refused.value.failure.code in ("private_address", "http_unreachable")
        assert inside.asked == []


def test_what_was_checked_is_connected_to_under_its_name(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "_is_public", lambda address: address == OURS)
    inside = Inside()
    with served(inside.app) as origin:
        port = origin.rpartition(":")[2]
        names.give("shop.test", OURS)
        answer = transport.send("POST", f"http://shop.test:{port}/", b"", {}, private=False)
        assert answer.body == b"secret"
        assert inside.asked == [f"shop.test:{port}"]
        to = f"http://[::1]:{port}/"
        with pytest.raises(transport.NoResponse) as refused:
            transport.send("POST", f"http://shop.test:{port}/away?to={to}", b"", {}, private=False)
        assert refused.value.failure.code == "private_address"
        assert len(inside.asked) == 1


def test_a_name_that_is_none_is_unreachable(names: Names) -> None:
    with pytest.raises(transport.NoResponse) as refused:
        transport.send("POST", "http://no.such.host.invalid/", b"", {}, private=False)
    assert refused.value.failure.code == "http_unreachable"
