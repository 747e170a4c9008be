"""A server with its engine in one process: real HTTP on both sides, the real engine and database, time that moves.

There is no broker and no worker: what is due is done here when the test says so, as in the tests of functions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import inngest as official
from fastapi import FastAPI
from inngest import fast_api

from inngest_celery.server.application import create_app
from inngest_celery.server.options import Options
from inngest_celery.store.rows import RunStatus
from inngest_celery.worker.runs import RunInfo
from inngest_celery.worker.runtime import runtime_of
from tests.functions.bench import Bench
from tests.server.web import served

QUIET = Options(discovery=False, poll_interval=0)


class Stage:
    """A server at ``url``.

    Attributes:
        bench: the engine, its database and its clock.
        http: a client of the server, as SDKs are.
    """

    def __init__(self, bench: Bench, url: str) -> None:
        self.bench = bench
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=30)

    def client(self, app_id: str = "sample", **options: Any) -> official.Inngest:
        """A client of the official SDK for this server."""
        return official.Inngest(
            app_id=app_id,
            is_production=bool(options.pop("is_production", False)),
            api_base_url=self.url,
            event_api_base_url=self.url,
            **options,
        )

    @contextmanager
    def app(self, client: official.Inngest, functions: list[Any]) -> Iterator[str]:
        """Serve functions of the official SDK meanwhile, registered; gives the app's address."""
        app = FastAPI()
        fast_api.serve(app, client, functions)
        with served(app) as origin:
            url = f"{origin}/api/inngest"
            httpx.put(url, timeout=30).raise_for_status()
            yield url

    def send(self, name: str, /, **data: Any) -> str:
        """Send an event over HTTP; gives its id."""
        answer = self.http.post("/e/test", json={"name": name, "data": data})
        assert answer.status_code == 200, answer.text
        [event_id] = answer.json()["ids"]
        return str(event_id)

    def drain(self) -> None:
        """Do all that is due."""
        self.bench.inline.drain()

    def start(self, name: str, /, **data: Any) -> RunInfo:
        """Send an event that starts one run, and do all that is due."""
        event_id = self.send(name, **data)
        self.drain()
        [run] = self.bench.inline.runs.of_event(event_id)
        return run

    def output(self, name: str, /, **data: Any) -> Any:
        """Send an event that starts one run, let time pass until it has ended, well, and give its output."""
        ended = self.bench.finish(self.start(name, **data))
        assert ended.status is RunStatus.COMPLETED, ended
        return ended.output

    def error(self, name: str, /, **data: Any) -> Any:
        """Send an event that starts one run, let time pass until it has failed, and give its error."""
        ended = self.bench.finish(self.start(name, **data))
        assert ended.status is RunStatus.FAILED, ended
        return ended.output


@contextmanager
def staged(bench: Bench, options: Options = QUIET) -> Iterator[Stage]:
    """Serve a bench's engine."""
    runtime = runtime_of(bench.app)
    assert bench.inline is not None
    with served(create_app(runtime, options)) as url:
        stage = Stage(bench, url)
        try:
            yield stage
        finally:
            stage.http.close()
