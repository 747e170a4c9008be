"""Topics, as requests name them: a list of kind, channel and name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from starlette.requests import HTTPConnection

from inngest_celery.server.errors import ApiError, first_problem
from inngest_celery.server.state import Server
from inngest_celery.worker import realtime_tokens
from inngest_celery.worker.realtime import MAX_NAME
from inngest_celery.worker.realtime_tokens import Topic

MAX_TOPICS = 100
# Databases take no NUL.
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME, pattern=r"^[^\x00]+$")]


class _Wanted(BaseModel):
    kind: Literal["run", "event"] = "run"
    channel: Name = "-"
    name: Name


_WANTED = TypeAdapter(Annotated[list[_Wanted], Field(min_length=1, max_length=MAX_TOPICS)])


def read_topics(given: bytes | list[object]) -> list[Topic]:
    """Read topics, from JSON or what was read of it.

    Raises:
        ApiError: 400.
    """
    try:
        wanted = _WANTED.validate_json(given) if isinstance(given, bytes) else _WANTED.validate_python(given)
    except ValidationError as error:
        message = f"{first_problem(error, 'body')}. The body is a list of topics: kind, channel, name."
        raise ApiError(400, message) from None
    return [_topic(each, index) for index, each in enumerate(wanted)]


def write_topics(topics: Iterable[Topic]) -> list[dict[str, str]]:
    """Give topics as :func:`read_topics` reads them."""
    return [{"kind": "run", "channel": topic.channel, "name": topic.name} for topic in sorted(topics)]


def topics_of_token(server: Server, token: str) -> frozenset[Topic]:
    """Give what the holder of a token may listen to.

    Raises:
        ApiError: 401.
    """
    try:
        return realtime_tokens.read(server.runtime.signing_keys.good, token, server.runtime.clock.now() // 1000)
    except realtime_tokens.TokenRefused as error:
        raise ApiError(401, str(error), code=error.code) from error


def token_of(connection: HTTPConnection) -> str:
    """Give the token that a request brings: in its header, or else in its query."""
    scheme, _, bearer = connection.headers.get("authorization", "").partition(" ")
    return bearer.strip() if scheme.lower() == "bearer" else connection.query_params.get("token", "")


def _topic(wanted: _Wanted, index: int) -> Topic:
    if wanted.kind == "event":
        message = (
            f"{index}.kind: events are not published to listeners here. Publish what they should see: a function "
            "that the event triggers can."
        )
        raise ApiError(400, message, code="topic_unsupported")
    if "channel" not in wanted.model_fields_set:
        raise ApiError(400, f"{index}.channel: name the channel that the topic is on")
    return Topic(wanted.channel, wanted.name)
