"""Pages of runs and events cost the same wherever they are: an index serves each order."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from inngest_celery import ids
from inngest_celery.store import events, listing, runs, schema, statistics
from inngest_celery.store.database import Database
from inngest_celery.store.listing import Order, RunFilter, RunTime
from inngest_celery.store.rows import Event, Run, RunStatus
from tests.functions.bench import Bench

START = 1_800_000_000_000
RUNS = 60


@pytest.fixture
def database(database_url: str) -> Database:
    """Runs that were queued in one order, started in another and ended in a third, with times that some share."""
    bench = Bench(database_url)
    database: Database = bench.database
    bench.send("shop/nothing")
    with database.transaction() as connection:
        for number in range(RUNS):
            at = START + number
            event = Event(ids.new(at), "shop/a", f"e{number}", "{}", at, START + number // 3)
            events.insert(connection, [event])
            run = Run(ids.new(at), "app-fn", event.id, None, RunStatus.COMPLETED.value, at)
            run.started_at, run.ended_at = START + (number * 7) % RUNS // 2, START + (number * 11) % RUNS // 2
            runs.insert(connection, run)
    bench.close()
    return database


@pytest.mark.parametrize("field", list(RunTime))
@pytest.mark.parametrize("descending", [True, False])
def test_pages_of_runs_are_the_whole_in_order(database: Database, field: RunTime, descending: bool) -> None:
    seen: list[Run] = []
    after = None
    with database.autocommit() as connection:
        while page := listing.page(connection, RunFilter(field=field), Order(field, descending, after), 7):
            seen += page
            after = listing.position(page[-1], field)
    positions = [listing.position(run, field) for run in seen]
    assert len(set(positions)) == RUNS
    assert positions == sorted(positions, reverse=descending)


@pytest.mark.parametrize("page", [1, 2, 3, 7, RUNS, RUNS + 1])
def test_events_since_a_time_are_read_by_the_page(
    database: Database, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(events, "_PAGE", page)
    with database.autocommit() as connection:
        found = list(events.received_since(connection, ["shop/a", "shop/b"], START + 5))
        assert list(events.received_since(connection, ["shop/b"], START)) == []
    positions = [(event.received_at, event.id) for event in found]
    assert positions == sorted(set(positions))
    assert len(positions) == RUNS - 5 * 3


@pytest.mark.parametrize("few", [RUNS, RUNS - 1])
def test_runs_are_found_by_the_names_of_few_events_or_many(
    database: Database, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(listing, "_FEW", few)
    with database.autocommit() as connection:
        found = listing.page(connection, RunFilter(event_names=["shop/a", "shop/b"]), Order(), 1000)
        assert len({run.id for run in found}) == RUNS
        assert listing.page(connection, RunFilter(event_names=["shop/nothing"]), Order(), 1000) == []


def test_pages_of_events_are_the_whole_in_the_order_in_which_they_came(database: Database) -> None:
    seen: list[Event] = []
    with database.autocommit() as connection:
        while page := events.page(connection, limit=7, before=seen[-1].id if seen else None, since=START - 1):
            seen += page
            assert len(seen) <= RUNS + 1
    mine = [(event.received_at, event.id) for event in seen if event.name == "shop/a"]
    assert mine == sorted(mine, reverse=True)
    assert len(set(mine)) == RUNS


@pytest.mark.databases("postgres")
def test_an_index_serves_each_order(database: Database) -> None:
    asked: list[tuple[str, dict[str, object]]] = []

    def note(_c: object, _k: object, statement: str, parameters: dict[str, object], *_: object) -> None:
        asked.append((statement, parameters))

    def plan() -> str:
        statement, parameters = next(each for each in reversed(asked) if "EXPLAIN" not in each[0])
        return "\n".join(connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars())

    with database.autocommit() as connection:
        sa.event.listen(connection, "before_cursor_execute", note)
        # So few rows are read whole otherwise, whatever index there is.
        connection.execute(sa.text("SET enable_seqscan = off"))
        connection.execute(sa.text("SET enable_sort = off"))
        for field, index in ((RunTime.STARTED_AT, "by_start"), (RunTime.ENDED_AT, "by_end"), (RunTime.QUEUED_AT, "")):
            for descending in (True, False):
                listing.page(connection, RunFilter(), Order(field, descending, (START + 9, ids.first_of(START))), 7)
                found = plan()
                assert f"inngest_run_{index or 'pkey'}" in found, found
                assert "Sort" not in found, found
        events.page(connection, limit=7, before=ids.first_of(START + 9))
        found = plan()
        assert "inngest_event_by_time" in found, found
        assert "Sort" not in found, found
        connection.execute(sa.text("RESET ALL"))


@pytest.mark.databases("postgres")
def test_a_function_that_was_busy_once_is_not_looked_for_among_all_runs(database: Database) -> None:
    asked: list[tuple[str, dict[str, object]]] = []

    def note(_c: object, _k: object, statement: str, parameters: dict[str, object], *_: object) -> None:
        asked.append((statement, parameters))

    with database.autocommit() as connection:
        # It was busy beside another. By the table's statistics, seven of its runs are soon found among all.
        connection.execute(sa.delete(schema.run))
        once, now = ["app-once"] * 9 + ["app-other"], ["app-now"]
        for first, names, most in ((START - 1_000_000, once, 4_000), (START - 500_000, now, 500)):
            many = [
                {
                    "id": ids.first_of(first + number),
                    "function_id": names[number % len(names)],
                    "event_id": "e",
                    "status": RunStatus.COMPLETED.value,
                    "created_at": first + number,
                }
                for number in range(most)
            ]
            connection.execute(sa.insert(schema.run), many)
        # What other tests have left of the table counts, too.
        connection.execute(sa.text("VACUUM ANALYZE inngest_run"))
        sa.event.listen(connection, "before_cursor_execute", note)
        listing.page(connection, RunFilter(function_ids=["app-once"]), Order(), 7)
        statistics.tallies(connection, ["app-once"], START - 900_000, 1_000, 7)
        statistics.samples(connection, "app-once", [(START - 900_000, START)], 7)
        for statement, parameters in asked[:]:
            found = "\n".join(connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars())
            assert "inngest_run_by_function" in found, found
            assert "Sort" not in found, found
