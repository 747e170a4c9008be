"""Where a server may be sent: not into its own network, however a name is answered from look-up to look-up.

And what certificate it has to show there: one of the name, though the connection is made to an address.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trustme
from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response

from inngest_celery.drivers.http import addresses, transport
from tests.functions.bench import Bench
from tests.server.scripted import Scripted, done
from tests.server.stage import staged
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


class Secured:
    """What servers over TLS have to show.

    Attributes:
        asked: by which name each connection asked for a certificate.
    """

    def __init__(self) -> None:
        self.authority = trustme.CA()
        self.asked: list[str | None] = []

    def tls(self, name: str) -> ssl.SSLContext:
        """Give what a server shows a certificate of a name with."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(name).configure_cert(context)
        context.sni_callback = lambda _, asked, __: self.asked.append(asked)
        return context


@pytest.fixture
def secured(names: Names, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Secured:
    """An authority that is trusted as users are told to; ``shop.test`` is here, at an address taken for public."""
    secured = Secured()
    trusted = tmp_path / "authority.pem"
    secured.authority.cert_pem.write_to_path(str(trusted))
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    monkeypatch.setattr(addresses, "_is_public", lambda address: address == OURS)
    names.give("shop.test", OURS)
    return secured


def at_shop(origin: str) -> str:
    return origin.replace(OURS, "shop.test")


@pytest.mark.parametrize("private", [False, True], ids=["pinned", "anywhere"])
def test_a_certificate_is_asked_for_by_name_and_checked_for_it(secured: Secured, private: bool) -> None:
    inside = Inside()
    with served(inside.app, tls=secured.tls("shop.test")) as origin:
        url = f"{at_shop(origin)}/"
        assert transport.send("POST", url, b"", {}, private=private).body == b"secret"
        # The address is no name of the certificate, though the connection leads there.
        with pytest.raises(transport.NoResponse) as refused:
            transport.send("POST", f"{origin}/", b"", {}, private=private)
    assert "certificate is not valid for '127.0.0.1'" in refused.value.failure.message
    assert (secured.asked, inside.asked) == (["shop.test", None], [url.split("/")[2]])


@pytest.mark.parametrize(
    ("named", "why"),
    [("none.pem", "cannot be read"), ("other.pem", "unable to get local issuer certificate"), ("empty.pem", "read")],
)
def test_what_is_trusted_is_in_the_file_that_is_named(
    secured: Secured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: str, why: str
) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    (tmp_path / "empty.pem").touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / named))
    with (
        served(Inside().app, tls=secured.tls("shop.test")) as origin,
        pytest.raises(transport.NoResponse, match=why) as refused,
    ):
        transport.send("POST", at_shop(origin), b"", {}, private=False)
    assert (refused.value.failure.code, refused.value.failure.retriable) == ("http_unreachable", True)
    assert "SSL_CERT_FILE" in refused.value.failure.message


@pytest.mark.databases("sqlite")
def test_an_app_with_the_certificate_of_another_is_tried_again_as_one_that_is_away(
    secured: Secured, database_url: str
) -> None:
    app = Scripted(done("well"))
    bench = Bench(database_url, inngest_allow_private_addresses=False)
    with closing(bench), staged(bench) as stage:
        with served(app.app, tls=secured.tls("other.test")) as origin:
            app.register(stage, at_shop(origin))
            error = stage.error("shop/a")
            assert "certificate is not valid for 'shop.test'" in error["message"]
            assert (error["code"], app.calls, secured.asked) == ("http_unreachable", [], ["shop.test"] * 2)
            run = stage.start("shop/a")
        with served(app.app, port=int(origin.rpartition(":")[2]), tls=secured.tls("shop.test")):
            assert bench.output(run) == "well"
