"""What an app's answer to a call means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus

from inngest_celery.drivers.http.ops import Op, read_ops
from inngest_celery.drivers.http.transport import Response
from inngest_celery.engine.backoff import parse_retry_after
from inngest_celery.engine.report import Failure

_STEPS = 206
_STREAMED = 201
_SHOWN_BYTES = 8192
# The languages whose SDKs answer after each step.
_STEP_BY_STEP = ("py:",)


class NotUnderstood(ValueError):
    """An answer is not what the protocol says."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, read.

    Attributes:
        version: the request version that the SDK works with; ``None`` if it does not say.
        ops: what the function asks for, if it is not over.
        output: JSON text of its result, if it has returned.
        failure: why this call failed, if it did.
        retry_in: how long the SDK wants the next attempt to wait, in milliseconds.
        retriable: whether another attempt may help, as the SDK says it for all that is in the answer.
        goes_on_by_itself: whether the SDK is of those that may have done steps, and reported them, before it answered.
    """

    version: int | None = None
    ops: list[Op] | None = None
    output: str | None = None
    failure: Failure | None = None
    retry_in: int | None = None
    retriable: bool | None = None
    goes_on_by_itself: bool = True


def read(response: Response, now: int) -> Answer:
    """Read an answer.

    Args:
        response: as it came.
        now: milliseconds.
    """
    from_sdk = "x-inngest-sdk" in response.headers
    try:
        response = _unwrapped(response)
        answer = _told_by(response, now)
        if response.status == _STEPS and from_sdk:
            return replace(answer, ops=read_ops(_json(response.body), now))
        if 200 <= response.status < 300:
            return replace(answer, output=_output(response.body)) if from_sdk else replace(answer, failure=_not_sdk())
    except ValueError as error:
        return Answer(failure=Failure("NotUnderstood", f"the app's answer is not understood: {error}", code="not_sdk"))
    failure = _error(response) if from_sdk else _of_something_else(response)
    failure.retry_in = answer.retry_in
    failure.retriable = answer.retriable is not False
    return replace(answer, failure=failure)


def _told_by(response: Response, now: int) -> Answer:
    headers = response.headers
    version = headers.get("x-inngest-req-version", "")
    after, no_retry = headers.get("retry-after"), headers.get("x-inngest-no-retry")
    return Answer(
        version=int(version) if version.lstrip("-").isdigit() else None,
        retry_in=parse_retry_after(after, now_ms=now) if after else None,
        retriable=None if no_retry is None else no_retry.strip().lower() != "true",
        goes_on_by_itself=not headers.get("x-inngest-sdk", "").removeprefix("inngest-").startswith(_STEP_BY_STEP),
    )


def _unwrapped(response: Response) -> Response:
    """Give what a streamed answer, sent while its status was not known yet, stands for."""
    if response.status != _STREAMED:
        return response
    wrapped = _json(response.body)
    if not isinstance(wrapped, dict) or not isinstance(wrapped.get("status"), int):
        return response
    given = wrapped.get("headers")
    headers = {str(name).lower(): str(value) for name, value in given.items()} if isinstance(given, dict) else {}
    body = wrapped.get("body")
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    return Response(wrapped["status"], {**response.headers, **headers}, text.encode())


def _json(body: bytes) -> object:
    # What keeps a connection open comes as white space.
    text = body.decode().strip()
    return json.loads(text) if text else None


def _output(body: bytes) -> str:
    text = body.decode().strip()
    if not text:
        return "null"
    try:
        json.loads(text)
    except ValueError:
        return json.dumps(text, ensure_ascii=False)
    return text


def _error(response: Response) -> Failure:
    """Read the error of a function that raised."""
    text = response.body.decode(errors="replace").strip()
    try:
        given = json.loads(text)
    except ValueError:
        given = text
    if isinstance(given, str):
        try:
            # Some SDKs write the error as JSON in a string.
            given = json.loads(given)
        except ValueError:
            given = {"message": given}
    if not isinstance(given, dict):
        given = {"message": json.dumps(given, ensure_ascii=False)}
    return failure_from(given, default=f"invalid status code: {response.status}")


def failure_from(given: Mapping[str, object], *, default: str = "") -> Failure:
    """Make a failure of an error as it stands on the wire.

    Args:
        given: ``name``, ``message``, ``stack`` and whatever else the SDK says.
        default: the message of one that has none.
    """
    error = {"name": "Error", "stack": None, **given, "message": str(given.get("message") or default)}
    stack = error["stack"]
    return Failure(
        name=str(error["name"]),
        message=str(error["message"]),
        stack=None if stack is None else str(stack),
        code=str(given.get("code") or "unknown"),
        raw=json.dumps(error, ensure_ascii=False),
    )


def _of_something_else(response: Response) -> Failure:
    """Describe an error that no SDK has sent: a proxy's, or a server's that has broken down."""
    try:
        meaning = HTTPStatus(response.status).phrase
    except ValueError:
        meaning = "unknown status"
    start = response.body[:_SHOWN_BYTES].decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
    kind = response.headers.get("content-type", "no content type")
    return Failure(
        "Server returned a fatal error",
        f"{response.status} {meaning}: this did not come from an SDK, but from something before the app, or from its "
        "server. Look there, with the start of the answer at hand.",
        stack=f"content type: {kind}\n\n{start}",
        code="http_not_ok",
    )


def _not_sdk() -> Failure:
    message = (
        "the answer has no X-Inngest-SDK header, so it is not an SDK's: does the registered address lead to the app?"
    )
    return Failure("NotSDK", message, code="not_sdk")
