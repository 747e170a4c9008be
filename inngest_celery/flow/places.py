"""Where a job stands in line, as the scripts name it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from inngest_celery.store.rows import Job, JobKind


@dataclass(frozen=True, slots=True)
class Place:
    """A job's place.

    Attributes:
        tag: what its keys have in common, so that one node of a cluster has them all.
        job: the job, ``<subject>/<key>``.
        line: the function and what the job needs; jobs of one line go one after the other.
        score: the lower goes first.
    """

    tag: str
    job: str
    line: str
    score: int


def place_of(subject_id: str, key: str, function_id: str, flow: str, *, starts: bool) -> Place:
    """Give the place of a job.

    Args:
        subject_id, key: the job.
        function_id: its function.
        flow: what limits it, as ``engine.policies.flow_of`` has it.
        starts: whether it starts its run: then it needs what only starts need, too.
    """
    tag, line, score = _line(function_id, flow, starts)
    return Place(tag, f"{subject_id}/{key}", line, score)


def place_of_job(job: Job) -> Place:
    """Give the place of a job that something limits."""
    assert job.flow is not None
    return place_of(job.subject_id, job.key, job.function_id, job.flow, starts=starts_run(job))


def starts_run(job: Job) -> bool:
    """Tell whether a job is the first attempt to start its run: what only starts need has not been taken yet."""
    return job.kind is JobKind.START and job.attempt == 0 and job.fence == 0


@lru_cache(maxsize=4096)
def _line(function_id: str, flow: str, starts: bool) -> tuple[str, str, int]:
    read: dict[str, Any] = json.loads(flow)
    line = "\n".join([name_of(function_id), _needs(read["steps"]), _needs(read["starts"] if starts else [])])
    return read["tag"], line, read["score"]


def _needs(needs: list[list[str]]) -> str:
    return ";".join(f"{policy}={name_of(resource)}" for policy, resource in needs)


def name_of(text: str) -> str:
    """Write an id so that it can stand in a key and in a line's name."""
    return quote(text, safe=" /:.*@")


def run_resources(flow: str | None) -> list[str]:
    """Give the resources in which the run itself, not its job, has a place."""
    starts = json.loads(flow)["starts"] if flow else []
    return [name_of(resource) for policy, resource in starts if policy.startswith("run_concurrency")]
