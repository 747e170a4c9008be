"""GitHub's webhooks as events: 329 real payloads, see ``payloads/README.md``."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import inngest_celery as inngest

_FILE = Path(__file__).parent / "payloads" / "github_webhooks.json.gz"
_STARTS = ("github/pull_request.opened", "github/pull_request.ready_for_review", "github/pull_request.reopened")
# These answer something that happened the day before.
_ANSWERS = ("github/pull_request_review.", "github/pull_request.closed", "github/deployment_status.")


@dataclass(frozen=True)
class Delivery:
    """A webhook. ``day`` is when it comes: 0 or 1."""

    day: int
    event: inngest.Event


def deliveries(per_event: int | None = None) -> list[Delivery]:
    """Give the webhooks as events named ``github/<event>`` or ``github/<event>.<action>``.

    The payloads are all of one pull request. Each that opens one gets a number of its own here, and the reviews and
    closings that follow are about every other of them, so that some are reviewed, some closed and some forgotten.

    Args:
        per_event: at most so many of each name; all, if left out.
    """
    starts, reviews, closings = itertools.count(1), itertools.count(1, 3), itertools.count(2, 3)
    given: dict[str, int] = {}
    result = []
    for name, payload in _payloads():
        given[name] = given.get(name, 0) + 1
        if per_event is not None and given[name] > per_event:
            continue
        if name in _STARTS:
            _renumber(payload, next(starts))
        elif name == "github/pull_request_review.submitted":
            _renumber(payload, next(reviews))
        elif name == "github/pull_request.closed":
            _renumber(payload, next(closings))
        day = 1 if name.startswith(_ANSWERS) else 0
        # GitHub gives every delivery an id, and repeats it when it delivers again.
        result.append(Delivery(day, inngest.Event(name=name, data=payload, id=f"{name}#{given[name]}")))
    return result


def _payloads() -> Iterator[tuple[str, dict[str, Any]]]:
    for kind in json.loads(gzip.decompress(_FILE.read_bytes())):
        for payload in kind["examples"]:
            action = payload.get("action")
            yield f"github/{kind['name']}.{action}" if action else f"github/{kind['name']}", payload


def _renumber(payload: dict[str, Any], number: int) -> None:
    payload["pull_request"]["number"] = number
    if "number" in payload:
        payload["number"] = number
