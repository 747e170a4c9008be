"""Sends a call and gives what came back, whatever that is; or says why nothing did."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from urllib.request import getproxies

from inngest_celery.drivers.http import addresses, certificates
from inngest_celery.engine.report import Failure

if TYPE_CHECKING:
    import httpx

MAX_RESPONSE = 8 * 1024 * 1024
# A step may work for two hours before its connection is given up.
_CALL_S = 7200.0
_CONNECT_S = 10.0
_REDIRECTS = 60


@dataclass(frozen=True, slots=True)
class Response:
    """What an app answered: the headers in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class NoResponse(Exception):
    """Nothing came back that could be read; ``failure`` says why, and that another attempt may help."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def post(url: str, body: bytes, headers: dict[str, str], *, private: bool = True) -> Response:
    """Post a body and read the answer.

    Args:
        url: where.
        private: whether addresses of this network may be called too.

    Raises:
        NoResponse: the app was not reached, or its answer has no end.
    """
    return send("POST", url, body, headers, private=private)


def send(
    method: str, url: str, body: bytes, headers: dict[str, str], *, private: bool = True, timeout_s: float = _CALL_S
) -> Response:
    """Make a request; see :func:`post`."""
    import httpx

    timeout = httpx.Timeout(timeout_s, connect=min(_CONNECT_S, timeout_s))
    try:
        request = _client(private).build_request(method, url, content=body, headers=headers, timeout=timeout)
        response = _client(private).send(request, stream=True)
        try:
            return Response(response.status_code, dict(response.headers), _read(response))
        finally:
            response.close()
    except addresses.PrivateAddressError as error:
        raise NoResponse(Failure("PrivateAddressError", str(error), code=error.code, retriable=False)) from error
    except certificates.UnreadableCertificatesError as error:
        raise NoResponse(Failure("Unreachable", str(error), code=error.code)) from error
    except httpx.TooManyRedirects as error:
        message = f"{_shown(url)} redirects {_REDIRECTS} times and more; register the address that it leads to"
        raise NoResponse(Failure("TooManyRedirects", message, code="http_unreachable")) from error
    except httpx.TimeoutException as error:
        message = f"{_shown(url)} did not answer in time ({type(error).__name__})"
        raise NoResponse(Failure("Unreachable", message, code="http_unreachable")) from error
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        why = certificates.distrust(error) or f"{error or type(error).__name__}. Is the app running there?"
        message = f"{_shown(url)} cannot be reached: {why}"
        raise NoResponse(Failure("Unreachable", message, code="http_unreachable")) from error


def with_step(url: str, step: str) -> str:
    """Give a function's address with another step in it.

    Example:
        >>> with_step("http://app/api?fnId=a-b&stepId=step", "abc")
        'http://app/api?fnId=a-b&stepId=abc'
    """
    parts = urlsplit(url)
    query = [(name, step if name == "stepId" else value) for name, value in parse_qsl(parts.query)]
    if all(name != "stepId" for name, _ in query):
        query.append(("stepId", step))
    return urlunsplit(parts._replace(query=urlencode(query)))


def _read(response: httpx.Response) -> bytes:
    parts: list[bytes] = []
    size = 0
    for part in response.iter_bytes():
        size += len(part)
        if size > MAX_RESPONSE:
            message = f"the answer has more than {MAX_RESPONSE} bytes; store large data elsewhere and return references"
            raise NoResponse(Failure("OutputTooLarge", message, code="output_too_large", retriable=False))
        parts.append(part)
    return b"".join(parts)


@lru_cache(maxsize=2)
def _client(private: bool) -> httpx.Client:
    """Give the process's client: its connections are kept for the next call."""
    import httpx

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
    trusted = certificates.trusted()
    if private:
        return httpx.Client(verify=trusted, follow_redirects=True, max_redirects=_REDIRECTS, limits=limits)
    from inngest_celery.drivers.http.pinning import PublicTransport

    # Where a proxy connects, it is the proxy that looks names up: this look at them is all that we can do.
    hooks = {"request": [lambda request: addresses.refuse_private(str(request.url))]}
    proxied = any(scheme != "no" for scheme in getproxies())
    transport = None if proxied else PublicTransport(limits, trusted)
    return httpx.Client(
        verify=trusted,
        follow_redirects=True,
        max_redirects=_REDIRECTS,
        limits=limits,
        transport=transport,
        event_hooks=hooks,
    )


def _shown(url: str) -> str:
    """Give an address without what may be secret in it."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
