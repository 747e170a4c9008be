"""Calls a function of an app that has dialled in, over whichever of its connections is free."""

from __future__ import annotations

import time

from inngest_celery import ids
from inngest_celery.drivers.connect import wire_pb2 as wire
from inngest_celery.drivers.connect.channel import Channel, Told
from inngest_celery.drivers.http.request import Call
from inngest_celery.drivers.http.transport import NoResponse, Response
from inngest_celery.engine.report import Failure

# An app that has not said by then that it has a call is not asked any longer.
_ACKNOWLEDGED_S = 5.0
_LOOK_EVERY_S = 0.1
_STATUSES = {wire.DONE: 200, wire.NOT_COMPLETED: 206}


class NobodyTakesIt(Exception):
    """No connection of the app takes a call now. Nothing was executed, so this is no attempt."""


def call(channel: Channel, app_id: str, asked: Call, body: bytes) -> Response:
    """Have an app execute a function, and wait for its answer.

    A connection that breaks is no end: apps keep what they have to say, and say it over the next one. That they are
    not heard of for a lease is one.

    Args:
        channel: where gateways are met.
        app_id: the app.
        asked: the call.
        body: of it.

    Returns:
        The answer, in the form that it would have over HTTP.

    Raises:
        NobodyTakesIt: no connection took it.
        NoResponse: the one that did is not heard of any more.
    """
    request = wire.ExecutorRequest(
        account_id=ids.ACCOUNT,
        env_id=ids.ENVIRONMENT,
        app_id=ids.app_uuid(app_id),
        app_name=app_id,
        function_id=ids.function_uuid(asked.function_id),
        function_slug=asked.function_id,
        step_id=asked.step,
        request_payload=body,
        run_id=asked.run_id,
        job_id=asked.job_id,
    )
    give_up_at = time.monotonic() + channel.patience_s
    tried: set[str] = set()
    while True:
        found = channel.presence.pick(app_id, tried)
        if found is not None:
            connection_id, gateway_id = found
            # Of its own for each: one that was asked and takes it too late finds that it is not wanted.
            request.request_id = request.lease_id = ids.new(time.time_ns() // 1_000_000)
            answer = _call_over(channel, app_id, connection_id, gateway_id, request)
            if answer is not None:
                return _response(answer)
            tried.add(connection_id)
        elif time.monotonic() < give_up_at:
            time.sleep(_LOOK_EVERY_S)
            tried.clear()
        elif tried:
            raise NobodyTakesIt(f"all workers of the app {app_id} that are connected have as much as they take")
        else:
            raise NobodyTakesIt(
                f"no worker of the app {app_id} is connected. Is it running, and does it reach this server's gateway?"
            )


def extend_every_s(lease_s: float) -> int:
    """Say how often apps are to report on a call, in whole seconds, as SDKs read no others."""
    return max(1, int(lease_s / 4))


def _call_over(
    channel: Channel, app_id: str, connection_id: str, gateway_id: str, request: wire.ExecutorRequest
) -> bytes | None:
    """Call over one connection; ``None`` if it does not take the call."""
    try:
        channel.ask(gateway_id, connection_id, request.request_id, request.SerializeToString())
        told = channel.hear(request.request_id, _ACKNOWLEDGED_S)
        if told is None:
            channel.presence.doubt(app_id, connection_id)
            return None
        if told[0] is Told.REFUSED:
            return None
        return told[1] if told[0] is Told.ANSWERED else _wait(channel, app_id, request.request_id)
    finally:
        channel.forget(request.request_id)


def _wait(channel: Channel, app_id: str, request_id: str) -> bytes:
    """Wait for the answer for as long as the app says that it is at it."""
    heard_at = time.monotonic()
    while time.monotonic() - heard_at < channel.lease_s:
        channel.want(request_id)
        told = channel.hear(request_id, extend_every_s(channel.lease_s))
        if told is None:
            continue
        if told[0] is Told.ANSWERED:
            return told[1]
        heard_at = time.monotonic()
    message = (
        f"the worker of the app {app_id} that had the call has not been heard of for {channel.lease_s:g} s. "
        "Was it killed? Another one is asked."
    )
    raise NoResponse(Failure("ConnectError", message, code="connect_worker_stopped_responding", retry_in=0))


def _response(payload: bytes) -> Response:
    reply = wire.Reply.FromString(payload)
    headers = {"x-inngest-sdk": reply.sdk_version or "unknown", "x-inngest-req-version": str(reply.request_version)}
    status = _STATUSES.get(reply.status, 500)
    if reply.no_retry:
        headers["x-inngest-no-retry"] = "true"
        # There is no word for an error that is final: the TypeScript SDK says that it is done, and not to try again.
        status = 500
    if reply.HasField("retry_after"):
        headers["retry-after"] = reply.retry_after
    return Response(status, headers, reply.body)
