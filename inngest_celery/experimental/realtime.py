"""Messages to whoever listens while functions work: publish them, and give tokens to those who may listen.

Nothing is kept: who does not listen when a message is published never gets it. A function that is carried on later
executes code outside of its steps again, so publish in steps what should be heard once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import redis

from inngest_celery.sdk import client as client_lib
from inngest_celery.sdk import jsonable
from inngest_celery.sdk.errors import Error
from inngest_celery.sdk.sending import is_storable
from inngest_celery.worker.realtime import MAX_BYTES, MAX_NAME, compose
from inngest_celery.worker.runtime import runtime_of

if TYPE_CHECKING:
    import httpx

__all__ = ["RealtimeError", "get_subscription_token", "get_subscription_token_sync", "publish", "publish_sync"]

_TIMEOUT_S = 30


class RealtimeError(Error):
    """A message was not published, or no token was made.

    Attributes:
        code: ``realtime_failed``; or ``realtime_data_invalid``, ``redis_missing`` or ``jwt_missing``, which another
            attempt does not help.
    """

    def __init__(self, message: str, *, code: str = "realtime_failed") -> None:
        super().__init__(message)
        self.code = code
        self.is_retriable = code == "realtime_failed"


async def publish(client: client_lib.Inngest, channel: str, topic: str, data: Mapping[str, object]) -> None:
    """Publish a message to whoever listens to a topic now.

    It goes through the Redis that keeps limits. A client that sends its events to a server posts it there.

    Args:
        client: the app.
        channel, topic: where, up to 512 characters each.
        data: what JSON can hold, up to 512 KiB.

    Raises:
        RealtimeError: it was not published.

    Example: ``await realtime.publish(client, f"order:{order_id}", "progress", {"percent": 50})``

    Mirrors https://www.inngest.com/docs/features/realtime
    """
    await asyncio.to_thread(publish_sync, client, channel, topic, data)


def publish_sync(client: client_lib.Inngest, channel: str, topic: str, data: Mapping[str, object]) -> None:
    """As :func:`publish`, for code that is not async."""
    _check_names(channel, topic)
    problem = jsonable.find_problem(data)
    if problem is not None:
        raise RealtimeError(
            f"JSON cannot hold {problem}; publish str, numbers, bool, None, lists and dicts",
            code="realtime_data_invalid",
        )
    body = jsonable.encode(data).encode()
    if len(body) > MAX_BYTES:
        message = f"{len(body)} bytes are more than {MAX_BYTES}; store them elsewhere and publish a reference"
        raise RealtimeError(message, code="realtime_data_invalid")
    if client.sends_over_http:
        _post(client, f"/v1/realtime/publish?{urlencode({'channel': channel, 'topic': topic})}", body)
    else:
        _broadcast(client, channel, topic, data)


async def get_subscription_token(client: client_lib.Inngest, channel: str, topics: list[str]) -> Mapping[str, object]:
    """Make a token with which somebody else, such as a browser, may begin to listen within a minute.

    It is made here, with the signing key of the Celery app's settings. A client that sends its events to a server asks
    that server for it.

    Args:
        client: the app.
        channel: the channel; a run's id for what becomes of the run.
        topics: topics on it; ``$run`` and ``$step`` for what becomes of the run.

    Returns:
        ``channel``, ``topics`` and the token as ``key``: what the official package for browsers takes.

    Raises:
        RealtimeError: the server does not answer, or refuses.

    Example: ``token = await realtime.get_subscription_token(client, f"order:{order_id}", ["progress"])``

    Mirrors https://www.inngest.com/docs/features/realtime
    """
    return await asyncio.to_thread(get_subscription_token_sync, client, channel, topics)


def get_subscription_token_sync(client: client_lib.Inngest, channel: str, topics: list[str]) -> Mapping[str, object]:
    """As :func:`get_subscription_token`, for code that is not async."""
    if isinstance(topics, str) or not topics:
        raise RealtimeError('name the topics in a list, such as ["progress"]', code="realtime_data_invalid")
    _check_names(channel, *topics)
    if client.sends_over_http:
        wanted = [{"channel": channel, "name": topic, "kind": "run"} for topic in topics]
        key = str(_post(client, "/v1/realtime/token", jsonable.encode(wanted).encode()).json()["jwt"])
    else:
        key = _issue(client, channel, topics)
    return {"channel": channel, "topics": topics, "key": key}


def _check_names(*names: str) -> None:
    for name in names:
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not is_storable(name):
            message = f"name channel and topics in 1 to {MAX_NAME} characters, not {name!r:.100}"
            raise RealtimeError(message, code="realtime_data_invalid")


def _broadcast(client: client_lib.Inngest, channel: str, topic: str, data: object) -> None:
    runtime = runtime_of(client.celery)
    if runtime.redis_url is None:
        raise RealtimeError(
            "Messages go from workers to servers by Redis, and the broker is none. Set inngest_redis_url to a Redis or "
            "Valkey, such as redis://localhost:6379/0.",
            code="redis_missing",
        )
    try:
        runtime.publisher.publish(channel, topic, compose("data", channel, topic, data, runtime.clock.now()))
    except redis.RedisError as error:
        raise RealtimeError(f"Redis does not answer: {error}") from error


def _issue(client: client_lib.Inngest, channel: str, topics: list[str]) -> str:
    try:
        from inngest_celery.worker.realtime_tokens import Topic, issue
    except ImportError as error:
        message = f"Tokens take {error.name}, which is not there: pip install 'inngest-celery[server]'"
        raise RealtimeError(message, code="jwt_missing") from error
    runtime = runtime_of(client.celery)
    wanted = [Topic(channel, topic) for topic in topics]
    return issue(runtime.settings.signing_keys, wanted, runtime.clock.now() // 1000)


def _post(client: client_lib.Inngest, path: str, body: bytes) -> httpx.Response:
    import httpx

    headers = {"content-type": "application/json"}
    if client.signing_key:
        from inngest_celery.drivers.http.signing import bearer_of

        headers["authorization"] = f"Bearer {bearer_of(client.signing_key)}"
    url = client.api_origin.rstrip("/") + path
    try:
        answer = httpx.post(url, content=body, headers=headers, timeout=_TIMEOUT_S)
    except httpx.HTTPError as error:
        raise RealtimeError(f"{client.api_origin} does not answer: {error}") from error
    if answer.is_error:
        raise RealtimeError(f"{client.api_origin} answered with status {answer.status_code}: {answer.text[:500]}")
    return answer
