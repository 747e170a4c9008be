"""What the threads and processes of a worker share."""

from __future__ import annotations

import secrets

import pytest
from celery import Celery

from inngest_celery.worker.runtime import runtime_of


def test_threads_that_ask_for_the_name_at_once_get_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = runtime_of(Celery("app", set_as_current=False))
    names = []
    token_hex = secrets.token_hex

    def overtaken(length: int) -> str:
        monkeypatch.setattr(secrets, "token_hex", token_hex)
        names.append(runtime.worker_name)
        return token_hex(length)

    monkeypatch.setattr(secrets, "token_hex", overtaken)
    names.append(runtime.worker_name)
    assert len(names) == 2
    assert len({*names, runtime.worker_name}) == 1, "else a worker would not know the jobs that it holds"
