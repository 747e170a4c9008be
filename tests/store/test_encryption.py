"""Encryption of what is stored: nobody reads it without the keys, and keys are exchanged under way."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

import inngest_celery as inngest
from inngest_celery.store import resealing, schema
from inngest_celery.store.database import Database
from inngest_celery.store.keyring import Keyring, KeyringError, keyring_of, new_key
from inngest_celery.store.sealed import NotEquipped
from tests.functions.bench import Bench

MARKER = "Zebra-7f3a"
OLD, NEW = new_key("old"), new_key("new")


def dump(url: str) -> str:
    """Give all that is in a database, as it is stored."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    metadata = sa.MetaData()
    metadata.reflect(engine)
    with engine.connect() as connection:
        rows = [str(tuple(row)) for table in metadata.sorted_tables for row in connection.execute(sa.select(table))]
    return "\n".join(sorted(rows))


def work(bench: Bench) -> None:
    """Have the marker in all that functions can hold: events, memos, errors, outputs, jobs and waits."""

    @bench.function("child")
    def child(ctx: inngest.ContextSync) -> Any:
        return ctx.event.data

    @bench.function("parent", trigger=inngest.TriggerEvent(event="test/parent"), retries=0)
    def parent(ctx: inngest.ContextSync) -> Any:
        told = ctx.event.data["who"]
        ctx.step.run("say", lambda: f"{told} said")
        ctx.step.invoke("ask", function=child, data={"who": told})
        ctx.step.send_event("tell", inngest.Event(name="test/told", data={"who": told}))
        with Session(bench.database.engine) as session, session.begin():
            bench.client.send_sync(inngest.Event(name="test/joined", data={"who": told}), session=session)
        with contextlib.suppress(inngest.StepError):
            ctx.step.run("fail", fail, told)
        found = ctx.step.wait_for_event(
            "wait", event="test/answer", if_exp="async.data.who == event.data.who", timeout=timedelta(days=1)
        )
        return {"found": found.data if found else None}

    @bench.function(
        "batch",
        trigger=inngest.TriggerEvent(event="test/many"),
        batch_events=inngest.Batch(max_size=2, timeout=timedelta(minutes=1)),
    )
    def batch(ctx: inngest.ContextSync) -> int:
        return len(ctx.events)

    @bench.function("waiting", trigger=inngest.TriggerEvent(event="test/waiting"))
    def waiting(ctx: inngest.ContextSync) -> None:
        ctx.step.wait_for_event(
            "wait", event="test/never", if_exp="async.data.who == event.data.who", timeout=timedelta(days=9)
        )

    def fail(told: str) -> None:
        raise ValueError(f"{told} is wrong")

    [run] = bench.send("test/parent", who=MARKER)
    bench.send("test/answer", who=MARKER)
    bench.send("test/many", who=MARKER)
    bench.send("test/many", who=MARKER)
    bench.send("test/waiting", who=MARKER)
    assert bench.get(run).output == {"found": {"who": MARKER}}


@pytest.fixture
def bench_of(database_url: str) -> Iterator[Any]:
    opened: list[Bench] = []

    def open_one(*keys: str, hot: bool = True) -> Bench:
        bench = Bench(database_url, hot=hot, inngest_encryption_keys=list(keys))
        opened.append(bench)
        return bench

    yield open_one
    for bench in opened:
        bench.close()


@pytest.mark.parametrize("hot", [True, False], ids=["hot", "hop"])
def test_nothing_that_is_stored_can_be_read(bench_of: Any, database_url: str, hot: bool) -> None:
    bench = bench_of(OLD, hot=hot)
    work(bench)
    assert MARKER not in dump(database_url)
    assert {found.key for found in resealing.census(bench.database, ["old"])} == {"old"}


@pytest.mark.databases("sqlite")
def test_without_a_key_it_can_be(bench_of: Any, database_url: str) -> None:
    work(bench_of())
    assert dump(database_url).count(MARKER) > 10


def test_keys_are_exchanged_back_and_forth(bench_of: Any, database_url: str) -> None:
    plain = bench_of()
    work(plain)
    runs = [run.id for run in plain.inline.runs.list()]
    before = {run: plain.inline.runs.get(run).output for run in runs}
    ended = next(run for run, output in before.items() if output is not None)
    stored = dump(database_url)

    def turn(to: str | None, *keys: str) -> None:
        keyring = keyring_of(keys)
        assert keyring is not None
        database = Database(database_url, keyring=keyring)
        assert resealing.left(database, to) > 0
        # Two at once, row by row: what one has done the other leaves.
        one, other = (resealing.reseal(database, keyring, to, 2) for _ in range(2))
        while next(one, None) is not None:
            next(other, None)
        list(other)
        assert resealing.left(database, to) == 0
        database.dispose()

    turn("old", OLD)
    assert MARKER not in dump(database_url)
    turn("new", NEW, OLD)
    bench = bench_of(NEW)
    assert {run: bench.inline.runs.get(run).output for run in runs} == before
    with pytest.raises(KeyringError) as refused:
        bench_of(OLD).inline.runs.get(ended)
    assert refused.value.code == "encryption_key_missing"
    assert "'new'" in str(refused.value)
    turn(None, NEW)
    assert dump(database_url) == stored


@pytest.mark.databases("sqlite", "postgres")
def test_a_rotation_that_is_killed_goes_on(bench_of: Any, database_url: str, tmp_path: Path) -> None:
    work(bench_of(OLD))
    (tmp_path / "proj.py").write_text('import celery\napp = celery.Celery("proj", broker="memory://")\n')
    environment = {
        **os.environ,
        "INNGEST_DATABASE_URL": database_url,
        "INNGEST_ENCRYPTION_KEYS": f'["{NEW}", "{OLD}"]',
        "INNGEST_TEST_CRASH": str(tmp_path),
    }

    def rotate() -> subprocess.CompletedProcess[str]:
        program = str(Path(sys.executable).with_name("inngest-celery"))
        command = [program, "-A", "proj", "encryption", "rotate", "--batch=3", "--pause=0.01"]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)

    database = Database(database_url, keyring=keyring_of([NEW, OLD]))
    left = resealing.left(database, "new")
    (tmp_path / "reseal_before_commit").touch()
    assert rotate().returncode == -signal.SIGKILL
    assert resealing.left(database, "new") == left
    (tmp_path / "reseal_after_commit").touch()
    assert rotate().returncode == -signal.SIGKILL
    some = resealing.left(database, "new")
    assert 0 < some < left
    done = rotate()
    assert done.returncode == 0, done.stderr
    assert f"{some} rows changed: everything is under the key new." in done.stdout
    assert {found.key for found in resealing.census(database, ["new", "old"])} == {"new"}
    database.dispose()


@pytest.mark.databases("sqlite")
def test_a_connection_that_was_not_given_the_keys_writes_nothing(bench_of: Any, database_url: str) -> None:
    bench = bench_of(OLD)
    bench.database.engine  # noqa: B018  from here on this process encrypts
    with sa.create_engine(database_url).connect() as connection, pytest.raises(sa.exc.StatementError) as refused:
        connection.execute(sa.insert(schema.event), {"id": "1", "name": "n", "data": "{}", "external_id": "1"})
    assert isinstance(refused.value.orig, NotEquipped)


def test_a_value_is_good_for_its_column_only() -> None:
    keyring = Keyring({"k": bytes(32)})
    value = keyring.seal('{"a": "é"}', "event.data")
    assert keyring.open(value, "event.data") == '{"a": "é"}'
    assert keyring.seal('{"a": "é"}', "event.data") != value
    for other, place in ((value, "run.output"), (value[:-8], "event.data"), (value + "!", "event.data")):
        with pytest.raises(KeyringError) as refused:
            keyring.open(other, place)
        assert refused.value.code == "encrypted_value_broken"
    with pytest.raises(KeyringError) as refused:
        Keyring({"k": bytes([1] * 32)}).open(value, "event.data")
    assert refused.value.code == "encryption_key_wrong"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (["c2VjcmV0"], "has no name"),
        (["Key:c2VjcmV0"], "has no name"),
        (["k:c2VjcmV0"], "is not 32 bytes"),
        (["k:c2VjcmV0!"], "is not 32 bytes"),
        ([OLD, OLD], "two keys with the name 'old'"),
        (["k:file:/nowhere/c2VjcmV0"], "cannot be read"),
        (["k:python:nowhere.c2VjcmV0"], "cannot be imported"),
        (["k:python:os.getcwdb"], "is not 32 bytes"),
    ],
)
def test_a_key_that_cannot_be_used_is_refused_and_not_shown(keys: list[str], said: str) -> None:
    if keys == ["k:python:os.getcwdb"]:
        keys = [f"k:python:{__name__}.short_key"]
    with pytest.raises(KeyringError) as refused:
        keyring_of(keys)
    assert refused.value.code == "encryption_key_invalid"
    assert said in str(refused.value)
    if "file" not in keys[0] and "python" not in keys[0]:
        assert keys[0].partition(":")[2] not in str(refused.value) or ":" not in keys[0]


def short_key(_name: str) -> bytes:
    return b"short"


def long_key(name: str) -> bytes:
    return name.encode().ljust(32, b"!")


def test_keys_come_from_text_a_file_or_a_function(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("00" * 32 + "\n")
    keyring = keyring_of([f"a:{'ff' * 32}", f"b:file:{tmp_path / 'key'}", f"c:python:{__name__}.long_key"])
    assert keyring is not None
    assert keyring.names == ["a", "b", "c"]
    for key, name in ((bytes([255] * 32), "a"), (bytes(32), "b"), (long_key("c"), "c")):
        assert keyring.open(Keyring({name: key}).seal("x", "event.data"), "event.data") == "x"


def test_a_child_encrypts_with_a_key_of_its_own() -> None:
    keyring = Keyring({"k": bytes(32)})
    wrapped = [keyring.seal("x", "event.data").split(":")[3][:53]]
    read, write = os.pipe()
    if os.fork() == 0:
        os.write(write, keyring.seal("x", "event.data").encode())
        os._exit(0)
    os.wait()
    of_child = os.read(read, 1000).decode()
    wrapped.append(keyring.seal("x", "event.data").split(":")[3][:53])
    assert wrapped[0] == wrapped[1] != of_child.split(":")[3][:53]
    assert keyring.open(of_child, "event.data") == "x"
