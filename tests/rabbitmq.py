"""Virtual hosts of RabbitMQ, made through its management API or, as root on the server's machine, by ``rabbitmqctl``.

AMQP itself cannot make them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from http import HTTPStatus
from urllib.parse import SplitResult, quote, unquote

import httpx

from tests.services import PREFIX, is_stale, stale_before

_API = "TEST_RABBITMQ_API"
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_NO_WAY = (
    "reachable, but its virtual hosts cannot be made: enable its management plugin (and set TEST_RABBITMQ_API if that "
    "is not at port 15672 of the same host), or run the tests as root on its machine"
)


def refusal(server: SplitResult) -> str:
    """Why virtual hosts cannot be made on this server; empty if they can."""
    return "" if _has_api(server) or _may_control(server) else _NO_WAY


def replace_vhosts(server: SplitResult, *, remove: Iterable[str], add: Iterable[str]) -> None:
    """Remove virtual hosts, and those of dead runs; add others, on which the server's user may do anything."""
    if _has_api(server):
        _replace_by_api(server, remove, add)
    else:
        _replace_by_control(_user(server), remove, add)


def _replace_by_control(user: str, remove: Iterable[str], add: Iterable[str]) -> None:
    # One call of the tool, in the server's own language, because each call starts an Erlang machine.
    code = f"""
        Stale = [Name || Name <- rabbit_vhost:list_names(),
                 Name >= {_binary(PREFIX)}, Name < {_binary(stale_before())}],
        [rabbit_vhost:delete(Name, <<"tests">>) || Name <- Stale ++ {_binaries(remove)}],
        [begin
            rabbit_vhost:add(Name, <<"tests">>),
            rabbit_auth_backend_internal:set_permissions(
                {_binary(user)}, Name, <<".*">>, <<".*">>, <<".*">>, <<"tests">>)
         end || Name <- {_binaries(add)}],
        ok.
    """
    done = subprocess.run(
        ["rabbitmqctl", "--quiet", "eval", code], check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if done.returncode or done.stdout.strip() != "ok":
        raise RuntimeError(f"rabbitmqctl could not replace virtual hosts: {done.stdout}{done.stderr}")


def _replace_by_api(server: SplitResult, remove: Iterable[str], add: Iterable[str]) -> None:
    with _api(server) as client:
        names = [vhost["name"] for vhost in client.get("/api/vhosts").raise_for_status().json()]
        for name in {*remove, *filter(is_stale, names)}:
            answer = client.delete(f"/api/vhosts/{quote(name, safe='')}")
            if answer.status_code != HTTPStatus.NOT_FOUND:
                answer.raise_for_status()
        for name in add:
            client.put(f"/api/vhosts/{quote(name, safe='')}").raise_for_status()
            client.put(
                f"/api/permissions/{quote(name, safe='')}/{quote(_user(server), safe='')}",
                json={"configure": ".*", "write": ".*", "read": ".*"},
            ).raise_for_status()


def _may_control(server: SplitResult) -> bool:
    return server.hostname in _LOOPBACK and os.geteuid() == 0 and shutil.which("rabbitmqctl") is not None


def _has_api(server: SplitResult) -> bool:
    try:
        with _api(server) as client:
            return client.get("/api/vhosts").is_success
    except httpx.TransportError:
        return False


def _api(server: SplitResult) -> httpx.Client:
    address = os.environ.get(_API) or f"http://{server.hostname}:15672"
    return httpx.Client(base_url=address, auth=(_user(server), unquote(server.password or "guest")), timeout=30)


def _user(server: SplitResult) -> str:
    return unquote(server.username or "guest")


def _binaries(texts: Iterable[str]) -> str:
    return "[" + ", ".join(map(_binary, texts)) + "]"


def _binary(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'<<"{escaped}">>'
