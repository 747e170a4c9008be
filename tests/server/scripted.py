"""An app that answers as the test says, over real HTTP: what an SDK would, or what none should."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import FastAPI, Request, Response

from tests.server.stage import Stage
from tests.server.web import served

SDK = {"x-inngest-sdk": "js:v4.18.1", "x-inngest-req-version": "2"}


class Scripted:
    """A function ``shop-fn`` that answers call after call with what stands in a list, the last one again and again.

    Attributes:
        calls: what was asked: the body of each call, with the step that was asked for as ``stepId``.
    """

    def __init__(self, *answers: Response | Callable[[dict[str, Any]], Response]) -> None:
        self.calls: list[dict[str, Any]] = []
        self._answers = list(answers)
        self.app = FastAPI()
        self.app.post("/api/inngest")(self._answer)

    async def _answer(self, request: Request) -> Response:
        call = json.loads(await request.body())
        self.calls.append({**call, "stepId": request.query_params["stepId"], "headers": dict(request.headers)})
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return answer if isinstance(answer, Response) else answer(call)

    @contextmanager
    def registered(self, stage: Stage, *, retries: int = 1, **options: Any) -> Iterator[None]:
        """Serve it meanwhile, registered."""
        with served(self.app) as origin:
            self.register(stage, origin, retries=retries, **options)
            yield

    def register(self, stage: Stage, origin: str, *, retries: int = 1, **options: Any) -> None:
        """Tell the server that it is served at an address."""
        runtime = {"type": "http", "url": f"{origin}/api/inngest?fnId=shop-fn&stepId=step"}
        step = {"id": "step", "name": "step", "runtime": runtime, "retries": {"attempts": retries}}
        given = {"id": "shop-fn", "name": "fn", "triggers": [{"event": "shop/a"}], "steps": {"step": step}}
        body = {"appName": "shop", "url": f"{origin}/api/inngest", "sdk": "js:v4.18.1"}
        answer = stage.http.post("/fn/register", json={**body, "functions": [{**given, **options}]})
        assert answer.status_code == 200, answer.text


def done(output: Any, status: int = 200, **headers: str) -> Response:
    """The function's result, or with another status its error."""
    return Response(json.dumps(output), status, headers={**SDK, **headers}, media_type="application/json")


def steps(*ops: dict[str, Any], **headers: str) -> Response:
    """What the function asks for."""
    return Response(json.dumps(list(ops)), 206, headers={**SDK, **headers}, media_type="application/json")


def op(code: str, key: str = "a", /, **fields: Any) -> dict[str, Any]:
    return {"op": code, "id": key, "displayName": key, **fields}
