"""Two teams, one of which asks for more than its budget; a busy model; an editor; and somebody who watches."""

from __future__ import annotations

import argparse
import json
import sys
import threading
from datetime import timedelta

import httpx
from rich.table import Table

import inngest_celery as inngest
from examples.llm.app import app, client
from examples.llm.articles import BUDGET
from examples.llm.model import TOKENS, Model, running
from examples.stage import Stage, perform
from inngest_celery.cli.serving import serving
from inngest_celery.experimental import realtime
from inngest_celery.server.options import Options

_BUSY = 2
_ARTICLES = {"red-1": "red", "red-2": "red", "red-3": "red", "red-4": "red", "blue-1": "blue", "blue-2": "blue"}
_CALLS = 2
_NEXT_HOUR_MS = 62 * 60_000
_WATCHED = "blue-1"
_TURNED_DOWN, _UNREAD = "red-2", "blue-2"


class Demo:
    """The performance."""

    def __init__(self, stage: Stage, model: Model) -> None:
        self._stage = stage
        self._model = model
        self._seen: list[str] = []

    def play(self) -> bool:
        """Give whether the budget was kept, and everything came to its end."""
        stage, model = self._stage, self._model
        stage.start_worker()
        with serving(app, Options(development=True, discovery=False), "127.0.0.1", 0) as port:
            watcher = self._watch(port)
            model.busy = _BUSY
            stage.say(f"{len(_ARTICLES)} articles are asked for; the model is busy, and says 429 to {_BUSY} requests")
            self._events = dict(zip(_ARTICLES, client.send_sync([_requested(name) for name in _ARTICLES]), strict=True))
            stage.until(lambda: self._tokens("red") >= BUDGET and self._tokens("blue") == 2 * _CALLS * TOKENS, "drafts")
            spent = self._tokens("red")
            stage.say(f"team red has spent {spent} of {BUDGET} tokens, and waits; team blue {self._tokens('blue')}")
            stage.clock.advance(_NEXT_HOUR_MS)
            stage.until(lambda: self._tokens("red") == 4 * _CALLS * TOKENS, "the budget of the next hour")
            stage.say(f"an hour later red has spent the rest: {self._tokens('red')} in all")

            stage.until(lambda: all(self._drafted(name) for name in _ARTICLES), "the drafts")
            stage.say("the editor approves four, turns one down, and never reads the sixth")
            read = [name for name in _ARTICLES if name != _UNREAD]
            client.send_sync([_reviewed(name) for name in read])
            for name in read:
                client.runs.wait(self._events[name], timeout=60)
            stage.travel(timedelta(days=2, minutes=1))
            watcher.join(timeout=10)
        return self._report(spent)

    def _report(self, spent: int) -> bool:
        table = Table("article", "what became of it", title="\nThe articles")
        outputs = {name: str(client.runs.get(event_id).output) for name, event_id in self._events.items()}
        for name, output in outputs.items():
            table.add_row(name, output)
        self._stage.console.print(table)
        model = self._model
        calls = f"{model.answered.total()} answers for {len(_ARTICLES) * _CALLS} steps, {model.refused} times 429, "
        early = f"{model.early} requests before their Retry-After; "
        seen = f"{_WATCHED} was seen to be: {', '.join(self._seen)}"
        self._stage.console.print(calls + early + seen, soft_wrap=True, highlight=False)
        return (
            spent == BUDGET
            and model.answered.total() == len(_ARTICLES) * _CALLS
            and (model.refused, model.early) == (_BUSY, 0)
            and self._seen == ["outlined", "drafted", "published"]
            and outputs[_UNREAD] == "nobody has read it"
            and outputs[_TURNED_DOWN].startswith("turned down")
            and sum(output.startswith("https://") for output in outputs.values()) == len(_ARTICLES) - 2
        )

    def _tokens(self, team: str) -> int:
        return TOKENS * sum(number for prompt, number in self._model.answered.items() if f"{team}-" in prompt)

    def _drafted(self, name: str) -> bool:
        """Tell whether a run waits for its review."""
        reasons = client.runs.why(self._events[name], timeout=0).reasons
        return any("article/reviewed" in reason.text for reason in reasons)

    def _watch(self, port: int) -> threading.Thread:
        """Listen as a browser does, until the article is published."""
        token = realtime.get_subscription_token_sync(client, f"article:{_WATCHED}", ["progress"])["key"]
        listening = threading.Event()

        def listen() -> None:
            url = f"http://127.0.0.1:{port}/v1/realtime/sse"
            with httpx.stream("GET", url, params={"token": str(token)}, timeout=120) as stream:
                listening.set()
                for line in stream.iter_lines():
                    if line.startswith("data:"):
                        self._seen.append(json.loads(line.removeprefix("data:"))["data"]["state"])
                        if self._seen[-1] == "published":
                            return

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        listening.wait(timeout=30)
        return thread


def _requested(name: str) -> inngest.Event:
    return inngest.Event(
        name="article/requested", data={"id": name, "team": _ARTICLES[name], "topic": f"{name} things"}
    )


def _reviewed(name: str) -> inngest.Event:
    data: dict[str, inngest.JSON] = {"id": name, "approved": name != _TURNED_DOWN, "why": "we had that last week"}
    return inngest.Event(name="article/reviewed", data=data)


def main() -> int:
    """Run the demo; the exit status says whether all was as it must be."""
    model = Model()

    def show(stage: Stage, _: argparse.Namespace) -> bool:
        return Demo(stage, model).play()

    with running(model) as base_url:
        environment = {"OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": "none", "INNGEST_RETRY_INTERVAL": "0.3"}
        return perform(lambda: app, "examples.llm", show, environment=environment)


if __name__ == "__main__":
    sys.exit(main())
