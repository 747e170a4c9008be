"""The index of whose data it is: what it finds, whether it is complete, and its rows for what was there before."""

from __future__ import annotations

from collections.abc import Iterator

from inngest_celery.engine import expressions
from inngest_celery.engine.expressions import nodes
from inngest_celery.store import aged, events, listing, schema, subjects, walks
from inngest_celery.store.conflicts import retried
from inngest_celery.store.inserts import insert_new
from inngest_celery.store.listing import RunFilter
from inngest_celery.store.rows import RunStatus
from inngest_celery.store.subjects import Path, Subjects
from inngest_celery.worker.runtime import Runtime

_AT_ONCE = 500
_WALKS = ("subjects.events", "subjects.runs")


def found_by_index(runtime: Runtime, where: str) -> set[str] | None:
    """Give the ids of the events and runs of which an expression may be true; ``None`` if the index cannot say that.

    It can where the expression is one or more equalities of declared paths, any of which is enough, and once all that
    was there before the declaration is in it.
    """
    declared = runtime.database.subjects
    if declared is None:
        return None
    compiled = expressions.compile(where, names=frozenset({"event", "output", "error"}))
    wanted = _equalities(compiled.node)
    named = [(declared.names_of(path), value) for path, value in wanted or ()]
    if not named or not all(names for names, _ in named) or not is_complete(runtime, declared):
        return None
    found: set[str] = set()
    with runtime.database.autocommit() as connection:
        for names, value in named:
            digest = declared.hash(names[0], value)
            if digest is None:
                return None
            found.update(subjects.find(connection, names[0], digest))
    return found


def _equalities(node: nodes.Node) -> list[tuple[Path, object]] | None:
    """Give the paths and values of equalities; ``None`` if it is anything else."""
    found: list[tuple[Path, object]] = []
    for part in node.items if isinstance(node, nodes.Any) else (node,):
        match part:
            case nodes.Binary("==", left, nodes.Literal(value)) | nodes.Binary("==", nodes.Literal(value), left):
                path = _path(left)
                if path is None:
                    return None
                found.append((path, value))
            case _:
                return None
    return found


def _path(node: nodes.Node) -> Path | None:
    keys: list[str] = []
    while isinstance(node, nodes.Index) and isinstance(node.key, nodes.Literal) and isinstance(node.key.value, str):
        keys.append(node.key.value)
        node = node.target
    return (node.name, *keys[::-1]) if isinstance(node, nodes.Name) else None


def is_complete(runtime: Runtime, declared: Subjects) -> bool:
    """Tell whether all that there is is in the index."""
    with runtime.database.autocommit() as connection:
        found = {walk.name: walk for walk in walks.all_of(connection)}
    return all(
        name in found and found[name].rules == declared.version and found[name].arrived_at is not None
        for name in _WALKS
    )


def fill(runtime: Runtime) -> Iterator[int]:
    """Put what was there before into the index; give how many rows were looked at, again and again.

    It may die anywhere, and goes on where it was. Meanwhile, what is new is noted by whoever stores it.
    """
    declared = runtime.database.subjects
    assert declared is not None, "nothing is declared"
    looked_at = 0
    for name in _WALKS:
        more = True
        while more:
            number = _fill_some(runtime, declared, name)
            looked_at += number
            more = number == _AT_ONCE
            yield looked_at


@retried
def _fill_some(runtime: Runtime, declared: Subjects, name: str) -> int:
    now = runtime.clock.now()
    with runtime.database.transaction() as connection:
        walk = walks.of(connection, name, declared.version, now)
        rows: list[dict[str, str]] = []
        if name == _WALKS[0]:
            page = aged.events(connection, walk, now, _AT_ONCE)
            for event in events.several(connection, [row.id for row in page]):
                rows += declared.of_event(event)
        else:
            page = aged.ended_runs(connection, walk, now, _AT_ONCE, with_names=False)
            completed = [row.id for row in page if row.status is RunStatus.COMPLETED]
            found = listing.page(connection, RunFilter(ids=completed), listing.Order(), _AT_ONCE)
            for run in found if completed else ():
                rows += declared.of_output(run.id, run.output)
        insert_new(connection, schema.subject, rows)
        last = page[-1] if page else None
        walks.advance(
            connection,
            walk,
            at=last.at if last else walk.at,
            position=last.id if last else walk.position,
            removed=0,
            arrived_at=now if len(page) < _AT_ONCE else walk.arrived_at,
        )
    return len(page)
