"""What answers as OpenAI's chat completions do, on this machine. As a program, it serves ``inngest-celery dev``."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from examples.serving import Answer, serving

_PORT = 8104
TOKENS = 100


@dataclass
class Model:
    """The model, and what it was asked.

    Attributes:
        busy: how many requests from now on it answers with 429.
        pause: what ``Retry-After`` says then, in whole seconds.
        answered: how often each prompt was answered.
        refused: how often the answer was 429.
        early: how many requests came although ``Retry-After`` had told to wait: those for the same prompt.
    """

    busy: int = 0
    pause: int = 1
    answered: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    early: int = 0
    _welcome_at: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, request: dict[str, Any]) -> Answer:
        """Give status, headers and body."""
        prompt = request["messages"][-1]["content"]
        with self._lock:
            self.early += time.monotonic() < self._welcome_at.get(prompt, 0)
            if self.busy:
                self.busy -= 1
                self.refused += 1
                self._welcome_at[prompt] = time.monotonic() + self.pause
                return 429, {"retry-after": str(self.pause)}, {"error": {"message": "Rate limit reached"}}
            self.answered[prompt] += 1
        topic = prompt.rpartition("about ")[2].rstrip(".")
        text = f"All about {topic}." if prompt.startswith("Outline") else f"Much has been said. {topic}"
        usage = {"prompt_tokens": TOKENS // 4, "completion_tokens": TOKENS - TOKENS // 4, "total_tokens": TOKENS}
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        return 200, {}, {"object": "chat.completion", "model": request["model"], "choices": [choice], "usage": usage}


@contextmanager
def running(model: Model, port: int = 0) -> Iterator[str]:
    """Serve meanwhile, and give the base URL."""
    with serving(lambda _method, _path, body: model.answer(json.loads(body)), port) as address:
        yield f"{address}/v1"


if __name__ == "__main__":
    with running(Model(), _PORT) as served:
        print(f"{served}; Ctrl-C ends it", flush=True)
        threading.Event().wait()
