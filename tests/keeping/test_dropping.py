"""A period of partitioned tables goes as a whole; what has to stay of it stays, whatever happens meanwhile."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

import inngest_celery as inngest
from inngest_celery import ids
from inngest_celery.clock import SharedClock, SystemClock
from inngest_celery.store import dropping, events, partitioning, partitions, schema, walks
from inngest_celery.store.inserts import insert_new
from inngest_celery.store.rows import Event, RunStatus, Step, values
from inngest_celery.worker import holding, rerunning
from inngest_celery.worker.chores import NotYet
from inngest_celery.worker.keeping import ending, periods
from inngest_celery.worker.keeping.periods import Periods
from inngest_celery.worker.keeping.plan import plan_of
from inngest_celery.worker.keeping.previewing import preview
from inngest_celery.worker.keeping.sweeping import Retention
from inngest_celery.worker.keeping.upkeep import keep_up
from inngest_celery.worker.outbox import outbox
from inngest_celery.worker.runtime import runtime_of
from tests.functions.bench import Bench
from tests.keeping.conftest import MakeBench, counts, statements
from tests.waiting import wait_until
from tests.worker_process import ROOT

pytestmark = pytest.mark.databases("postgres")
DAY_MS = 86_400_000
RULES: list[dict[str, object]] = [
    {"function": "app-*", "keep": "30 days"},
    {"event": "*", "keep": "30 days"},
]
MakeParted = Callable[..., Bench]


@pytest.fixture
def make_parted(make_own: MakeBench) -> MakeParted:
    """Makes a bench on tables that are partitioned by week, at the beginning of one."""

    def make(**settings: object) -> Bench:
        bench = make_own(**{"inngest_retention": RULES, **settings})
        partitioning.convert(bench.database, "week", bench.now)
        until = look(bench).periods[0].end_ms
        bench.inline.clock.advance(until - bench.now + 1000)
        return bench

    return make


def look(bench: Bench) -> partitions.Partitions:
    with bench.database.autocommit() as connection:
        return partitions.look(connection)


def ends(bench: Bench) -> list[str]:
    return [period.end for period in look(bench).periods]


def later(bench: Bench, days: float) -> None:
    """Let time pass, with the upkeep that a worker does meanwhile."""
    bench.advance(days=days)
    keep_up(runtime_of(bench.app))


class Sweeping:
    """Retention with partitions, as a worker or the command does it."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.runtime = runtime_of(bench.app)
        self.plan = plan_of(self.runtime)
        self.periods = Periods(self.runtime)

    def drop(self) -> dict[str, int]:
        """Drop what is due; give how many rows that were, by table."""
        self.periods.begin(self.plan)
        total: dict[str, int] = {}
        while self.periods.more:
            for table, number in self.periods.go_on(self.plan).items():
                name = table.removeprefix("inngest_")
                total[name] = total.get(name, 0) + number
        return total

    def walk(self) -> dict[str, int]:
        """Delete what goes by rows."""
        total: dict[str, int] = {}
        for what, length in ending.lengths(self.plan):
            more = True
            while more:
                done = ending.go_on(self.runtime, self.plan, what, length, self.periods.wait_for)
                for table, number in done.counts.items():
                    total[table.removeprefix("inngest_")] = total.get(table.removeprefix("inngest_"), 0) + number
                more = done.more
        return total


def test_a_period_goes_as_a_whole_with_all_that_is_in_it(make_parted: MakeParted) -> None:
    bench = make_parted(inngest_subject_key="a key for the tests", inngest_subjects={"who": ["event.data.who"]})
    bench.run(who="ada")
    bench.run("test/bad", who="ada")
    for _ in range(2):
        bench.send("test/many")
    bench.send("test/nobody", who="ada")
    bench.advance(days=6)
    bench.run("test/bad")
    before = counts(bench)
    assert before.keys() == {"run", "step", "attempt", "cost", "run_event", "event"}
    subjects = len(bench.rows(schema.subject))
    [period] = [each for each in look(bench).periods if each.has(bench.rows(schema.run)[0].id)]
    later(bench, 14)
    kept = [bench.run("test/bad"), bench.run()]
    sweeping = Sweeping(bench)
    # What was before the period is empty, and goes at once.
    assert sweeping.drop() == {}
    assert min(ends(bench)) == period.end
    later(bench, 12)
    # Their time is over, and they wait for the whole.
    assert preview(sweeping.runtime)[2] == []
    assert sweeping.drop() == sweeping.walk() == {}
    later(bench, 5)
    [told] = preview(sweeping.runtime)[2]
    assert (told.period.end, told.runs, told.events, told.stay) == (period.end, before["run"], before["event"], 0)
    assert sweeping.drop() == {**before, "subject": subjects}
    assert period.end not in ends(bench)
    assert {row.id for row in bench.rows(schema.run)} == {each.id for each in kept}
    assert {row.run_id for row in (*bench.rows(schema.step), *bench.rows(schema.attempt))} == {each.id for each in kept}
    assert "ada" not in bench.dump()
    with bench.database.autocommit() as connection:
        for name in period.of.values():
            assert connection.execute(sa.select(sa.func.to_regclass(name))).scalar_one() is None
        assert {walk.name: walk.removed for walk in walks.all_of(connection)}[periods.WALK] == sum(
            (*before.values(), subjects)
        )
    assert sweeping.drop() == {}


def test_what_has_to_stay_stays_with_all_that_it_has(make_parted: MakeParted) -> None:
    forever_rules = [{"function": "app-fn", "keep": "forever"}, {"event": "test/nobody", "keep": "forever"}]
    bench = make_parted(inngest_retention=[*forever_rules, *RULES])
    bench.send("test/nobody")
    [alone] = bench.events("test/nobody")
    live, forever = bench.run("test/wait"), bench.run()
    held, repeated = bench.run("test/bad", who="held"), bench.run("test/bad", who="repeated")
    bench.run("test/bad")
    runtime = runtime_of(bench.app)
    hold = holding.add(runtime, "case", "tests", where="event.data.who == 'held'")
    later(bench, 25)
    again = rerunning.rerun(runtime, repeated.id)
    bench.inline.drain()
    later(bench, 14)
    dropped = Sweeping(bench).drop()
    assert dropped["run"] == 2
    assert {row.id for row in bench.rows(schema.run)} == {live.id, forever.id, held.id, again}
    # Each still has its event and steps; the events that tell of ends go by the rule for all events.
    started = {row.id for row in bench.rows(schema.event)}
    assert {live.event_id, forever.event_id, held.event_id, repeated.event_id} <= started
    assert [step.name for step in bench.steps(forever)] == ["step"]
    assert len(bench.attempts(held)) == 1
    assert {row.run_id for row in bench.rows(schema.attempt)} == {forever.id, held.id, again}
    # The live one goes on, in a period that has no partition any more, and its end is told of there.
    bench.inline.runs.cancel(live.id)
    assert bench.get(live).status is RunStatus.CANCELLED
    holding.release(runtime, hold.id, "tests")
    later(bench, 31)
    sweeping = Sweeping(bench)
    sweeping.drop()
    sweeping.walk()
    assert {row.id for row in bench.rows(schema.run)} == {forever.id}
    assert {row.id for row in bench.rows(schema.event)} == {forever.event_id, alone.id}
    assert {row.run_id for row in bench.rows(schema.attempt)} == {forever.id}


def test_events_that_are_collected_or_on_their_way_stay(make_parted: MakeParted) -> None:
    bench = make_parted()
    bench.run("test/bad")
    bench.send("test/many")
    outbox(bench.app).send([inngest.Event(name="test/go")])
    # Time passes, and no worker is there.
    bench.inline.clock.advance(40 * DAY_MS)
    keep_up(runtime_of(bench.app))
    assert Sweeping(bench).drop()["run"] == 1
    bench.inline.drain()
    bench.advance(days=1)
    assert {row.function_id for row in bench.rows(schema.run)} == {"app-batched", "app-fn"}
    assert {row.status for row in bench.rows(schema.run)} == {RunStatus.COMPLETED}
    assert len(bench.rows(schema.run_event)) == 1


def test_an_event_that_is_collected_for_a_run_of_the_next_period_stays(make_parted: MakeParted) -> None:
    bench = make_parted()
    gone = bench.run("test/bad")
    [period] = [each for each in look(bench).periods if each.has(gone.id)]
    bench.inline.clock.advance(period.end_ms - bench.now - 1000)
    outbox(bench.app).send([inngest.Event(name="test/many")])
    [event] = bench.events("test/many")
    bench.inline.clock.advance(2000)
    bench.route(event.id)
    assert [period.has(each) for row in bench.rows(schema.run_event) for each in (row.event_id, row.run_id)] == [
        True,
        False,
    ]
    bench.inline.clock.advance(33 * DAY_MS)
    keep_up(runtime_of(bench.app))
    assert Sweeping(bench).drop()["run"] == 1
    bench.inline.drain()
    [batched] = bench.rows(schema.run)
    assert (batched.event_id, batched.status) == (event.id, RunStatus.COMPLETED)


def test_a_run_goes_with_its_events_of_the_next_period(make_parted: MakeParted) -> None:
    bench = make_parted()
    [period, after] = look(bench).periods[1:3]
    bench.inline.clock.advance(period.end_ms - bench.now - 2000)
    bench.send("test/many")
    bench.inline.clock.advance(4000)
    bench.send("test/many")
    bench.advance(days=5)
    kept = bench.run("test/bad")
    [batched] = [row.id for row in bench.rows(schema.run, function_id="app-batched")]
    assert period.has(batched)
    assert [after.has(row.id) for row in bench.events("test/many")] == [False, True]
    later(bench, 26)
    sweeping = Sweeping(bench)
    assert sweeping.drop()["run"] == 1
    assert not bench.rows(schema.run_event) + bench.events("test/many")
    assert sweeping.walk() == {}
    assert [row.id for row in bench.rows(schema.run)] == [kept.id]
    later(bench, 7)
    assert sweeping.drop()["run"] == 1
    assert counts(bench) == {}


def test_events_without_a_rule_stay_and_those_of_runs_go(make_parted: MakeParted) -> None:
    bench = make_parted(inngest_retention=[{"function": "app-*", "keep": "30 days"}])
    bench.run("test/bad")
    bench.send("test/nobody")
    held = bench.run("test/bad")
    holding.add(runtime_of(bench.app), "case", "tests", run_id=held.id)
    later(bench, 40)
    assert Sweeping(bench).drop()["run"] == 1
    left = bench.rows(schema.event)
    assert {row.name for row in left} == {
        "test/nobody",
        "test/bad",
        "inngest/function.failed",
        "inngest/function.finished",
    }
    assert {json.loads(row.data).get("run_id", held.id) for row in left} == {held.id}


def test_of_which_too_much_stays_goes_by_rows(make_parted: MakeParted, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make_parted()
    runs = [bench.run("test/bad") for _ in range(3)]
    bench.advance(days=6)
    runs.append(bench.run("test/bad"))
    later(bench, 26)
    sweeping = Sweeping(bench)
    sweeping.drop()
    assert sweeping.walk() == {}
    # It has been left to be dropped; then more of it is held than may be copied.
    monkeypatch.setattr(dropping, "MOST", 1)
    for run in runs[:2]:
        holding.add(sweeping.runtime, "case", "tests", run_id=run.id)
    later(bench, 5)
    assert sweeping.drop() == {}
    assert sweeping.walk()["run"] == 2
    assert {row.id for row in bench.rows(schema.run)} == {run.id for run in runs[:2]}
    assert {row.run_id for row in bench.rows(schema.attempt)} == {run.id for run in runs[:2]}


def test_rows_do_not_wait_for_long(make_parted: MakeParted) -> None:
    rules = [
        {"function": "app-bad", "keep": "2 days"},
        {"function": "*", "keep": "30 days"},
        {"event": "*", "keep": "2d"},
    ]
    bench = make_parted(inngest_retention=rules)
    bench.run("test/bad")
    other = bench.run()
    later(bench, 9)
    sweeping = Sweeping(bench)
    sweeping.drop()
    # Its period goes in four weeks, which is too long for it.
    assert sweeping.walk()["run"] == 1
    assert {row.id for row in bench.rows(schema.run)} == {other.id}


def test_a_hold_that_is_added_meanwhile_holds(make_parted: MakeParted, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make_parted()
    held, gone = bench.run("test/bad"), bench.run("test/bad")
    # What is empty goes before.
    later(bench, 10)
    Sweeping(bench).drop()
    later(bench, 30)
    runtime = runtime_of(bench.app)
    drop, added = dropping.elsewhere, threading.Event()

    def add() -> None:
        holding.add(runtime, "case", "tests", run_id=held.id)
        added.set()

    # Somebody adds one after all runs were looked at; somebody else when the deletion has begun.
    free, first = dropping.free, [True]

    def add_before(*arguments: object) -> None:
        if first:
            first.pop()
            holding.add(runtime, "case 0", "tests", run_id=held.id)
        free(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(dropping, "free", add_before)
    thread = threading.Thread(target=add)

    def add_in_the_middle(*arguments: object) -> set[str]:
        if not thread.ident:
            thread.start()
            wait_until(lambda: waiting(bench), message="the hold to wait for the deletion")
            assert not added.is_set()
        return drop(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(dropping, "elsewhere", add_in_the_middle)
    assert Sweeping(bench).drop()["run"] == 1
    thread.join()
    assert added.is_set()
    assert {row.id for row in bench.rows(schema.run)} == {held.id}
    assert {row.run_id for row in bench.rows(schema.attempt)} == {held.id}
    assert gone.id not in bench.dump()


def waiting(bench: Bench) -> bool:
    with bench.database.autocommit() as connection:
        query = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        return bool(connection.exec_driver_sql(query).scalar_one())


def test_what_is_written_meanwhile_is_not_lost(make_parted: MakeParted) -> None:
    bench = make_parted()
    live = bench.run("test/wait")
    bench.run("test/bad")
    later(bench, 10)
    Sweeping(bench).drop()
    later(bench, 30)
    now, stop = bench.now, threading.Event()
    written: list[str] = []

    def write() -> None:
        # A run of that period sends events, and its steps end.
        for number in itertools.count():
            if stop.is_set():
                return
            event_id = ids.derived(ids.time_of(live.id), live.id, str(number))
            step = Step(live.id, event_id, "step", "StepRun", "{}", False, 0, now, now, now)
            with bench.database.transaction() as connection:
                insert_new(connection, schema.step, [values(step)])
                events.insert(connection, [Event(event_id, "test/nobody", event_id, "{}", now, now)])
            written.append(event_id)

    def wait_for(more: int) -> None:
        until = len(written) + more
        wait_until(lambda: len(written) >= until or not thread.is_alive())

    thread = threading.Thread(target=write)
    thread.start()
    wait_for(20)
    assert Sweeping(bench).drop()["run"] == 1
    wait_for(20)
    assert thread.is_alive(), "it was refused what it wrote"
    stop.set()
    thread.join()
    assert len(written) >= 40
    assert {step.id for step in bench.steps(live)} == set(written)
    assert {row.id for row in bench.events("test/nobody")} == set(written)


def test_busy_tables_are_not_waited_for(make_parted: MakeParted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dropping, "_TRIES", 2)
    bench = make_parted()
    bench.run("test/bad")
    later(bench, 40)
    sweeping = Sweeping(bench)
    before = bench.dump()
    with bench.database.transaction() as other:
        other.execute(sa.select(schema.step))
        assert sweeping.drop() == {}
    assert bench.dump() == before
    # They are left for then, and nobody tries it all the time.
    assert sweeping.walk() == sweeping.drop() == {}
    sweeping.periods._busy_until = 0.0
    assert sweeping.drop()["run"] == 1


def test_a_worker_does_it_a_bit_at_a_time(make_parted: MakeParted, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make_parted()
    for _ in range(3):
        bench.run("test/bad")
    later(bench, 40)
    monkeypatch.setattr(periods, "AT_ONCE", 2)
    retention = Retention(runtime_of(bench.app))
    retention.begin()
    steps = 1
    while bench.rows(schema.run):
        with pytest.raises(NotYet):
            retention.go_on()
        steps += 1
    assert steps > 4
    assert counts(bench) == {}


def test_plain_tables_cost_one_statement_more(make_own: MakeBench) -> None:
    bench = make_own(inngest_retention=RULES)
    sweeping = Sweeping(bench)
    assert statements(bench, sweeping.drop) == 1


def test_whoever_is_killed_has_dropped_all_or_nothing(make_parted: MakeParted, tmp_path: Path) -> None:
    bench = make_parted()
    for _ in range(3):
        bench.run("test/bad")
    held = bench.run("test/bad")
    holding.add(runtime_of(bench.app), "case", "tests", run_id=held.id)
    # What is empty goes before.
    later(bench, 10)
    Sweeping(bench).drop()
    later(bench, 30)
    orders = tmp_path / "orders"
    orders.mkdir()
    clock = tmp_path / "clock"
    SharedClock(clock).advance(bench.now - SystemClock().now())
    environment = {
        "PYTHONPATH": str(ROOT),
        "INNGEST_TEST_CRASH": str(orders),
        "INNGEST_CLOCK": f"file:{clock}",
        "INNGEST_DATABASE_URL": bench.database.url.render_as_string(hide_password=False),
        "INNGEST_RETENTION": json.dumps(RULES),
    }
    call = [sys.executable, "-c", "from inngest_celery.cli import main; main()", "retention", "run", "--json"]

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True)

    (orders / "retention_before_drop").touch()
    assert run().returncode == -signal.SIGKILL
    # The server finds out that nobody is there.
    wait_until(lambda: len(bench.rows(schema.run)) == len(bench.rows(schema.attempt)) == 4)
    (orders / "retention_after_drop").touch()
    assert run().returncode == -signal.SIGKILL
    assert [row.id for row in bench.rows(schema.run)] == [row.run_id for row in bench.rows(schema.attempt)] == [held.id]
    done = run()
    assert (done.returncode, json.loads(done.stdout)) == (0, {"rows": {}}), done.stderr
    assert (
        "about 0 of them stay"
        not in subprocess.run(
            [*call[:-2], "preview"], env=environment, cwd=tmp_path, capture_output=True, text=True
        ).stdout
    )
