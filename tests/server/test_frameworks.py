"""The official Python SDK on Flask and Django, with sync functions and with encryption: unmodified, like on FastAPI."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import django.urls
import flask
import httpx
import inngest as official
import inngest.django
import inngest.flask
import pytest
from django.core.wsgi import get_wsgi_application
from inngest_encryption import EncryptionMiddleware
from werkzeug.serving import make_server

from inngest_celery.store import schema
from tests import one_django
from tests.server.stage import Stage
from tests.whole import whole

pytestmark = pytest.mark.databases("sqlite")


@contextmanager
def served(wsgi: Any) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, wsgi, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/api/inngest"
    try:
        httpx.put(url, timeout=30).raise_for_status()
        yield url
    finally:
        server.shutdown()
        thread.join()


def on_flask(client: official.Inngest, functions: list[Any]) -> Any:
    app = flask.Flask("shop")
    inngest.flask.serve(app, client, functions)
    return app


def on_django(client: official.Inngest, functions: list[Any]) -> Any:
    one_django.configure()
    one_django.urlpatterns[:] = [inngest.django.serve(client, functions)]
    django.urls.clear_url_caches()
    return get_wsgi_application()


@pytest.mark.parametrize("framework", [on_flask, on_django])
def test_sync_functions(stage: Stage, framework: Any) -> None:
    client = stage.client("shop")

    @client.create_function(fn_id="child", trigger=official.TriggerEvent(event="shop/child"))
    def child(ctx: official.ContextSync) -> Any:
        return {"child": ctx.event.data["of"]}

    @client.create_function(fn_id="steps", trigger=official.TriggerEvent(event="shop/steps"), retries=1)
    def steps(ctx: official.ContextSync) -> Any:
        one = ctx.step.run("one", lambda: 1)
        ctx.step.sleep("nap", timedelta(days=1))
        sent = ctx.step.send_event("emit", official.Event(name="shop/emitted"))
        called = ctx.step.invoke("call", function=child, data={"of": "steps"})
        try:
            ctx.step.run("bad", bad)
        except official.StepError as error:
            caught = error.message
        both = ctx.group.parallel((lambda: ctx.step.run("a", lambda: "a"), lambda: ctx.step.run("b", lambda: "b")))
        return [one, len(sent), called, caught, both]

    def bad() -> None:
        raise ValueError("no")

    with served(framework(client, [child, steps])):
        assert stage.output("shop/steps") == [1, 1, {"child": "steps"}, "no", ["a", "b"]]


@pytest.mark.parametrize("framework", [on_flask, on_django])
def test_async_functions(stage: Stage, framework: Any) -> None:
    client = stage.client("shop")

    async def body() -> str:
        return "body"

    @client.create_function(fn_id="steps", trigger=official.TriggerEvent(event="shop/steps"))
    async def steps(ctx: official.Context) -> Any:
        return await ctx.step.run("one", body)

    with served(framework(client, [steps])):
        assert stage.output("shop/steps") == "body"


def test_what_is_encrypted_is_not_read_here(stage: Stage) -> None:
    client = stage.client("shop", middleware=[EncryptionMiddleware.factory("a secret key")])

    @client.create_function(fn_id="steps", trigger=official.TriggerEvent(event="shop/steps"))
    def steps(ctx: official.ContextSync) -> Any:
        return ctx.step.run("one", lambda: {"card": "4242"})["card"] + str(ctx.event.data["encrypted"]["name"])

    with served(on_flask(client, [steps])):
        [event_id] = client.send_sync(official.Event(name="shop/steps", data={"encrypted": {"name": "Ada"}}))
        stage.drain()
        [run] = stage.bench.inline.runs.of_event(event_id)
    stored = [whole(stage.bench.rows(table)) for table in (schema.event, schema.step, schema.run)]
    assert not [row for row in stored if "4242" in row or "Ada" in row]
    assert stage.bench.get(run).output["__ENCRYPTED__"] is True  # type: ignore[index, call-overload]
