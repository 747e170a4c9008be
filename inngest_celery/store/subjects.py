"""Whose data events and outputs are, noted in the transaction that stores them, as hashes that need a key to be made.

Where no subjects are declared nothing of this is done. What is declared comes with the connection: with those of our
own by themselves, with those that others lend by :func:`lend`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import sqlalchemy as sa

from inngest_celery.equality import written
from inngest_celery.store import schema
from inngest_celery.store.changes import Changes
from inngest_celery.store.inserts import insert_new
from inngest_celery.store.rows import Event, RunStatus

OPTION = "inngest_subjects"
Path = tuple[str, ...]


@dataclass(frozen=True)
class Subjects:
    """What is declared.

    Attributes:
        paths: for each name, where its values stand: ``("event", "data", "email")``.
        key: that the hashes are made with.

    Example:
        >>> declared = Subjects({"email": (("event", "data", "email"),)}, b"key")
        >>> [row["name"] for row in declared.of_event(Event("E", "a", "E", '{"email":"a@b.c"}', 0, 0))]
        ['email']
    """

    paths: Mapping[str, tuple[Path, ...]]
    key: bytes

    @cached_property
    def version(self) -> str:
        """A hash of all that it goes by."""
        told = json.dumps(sorted(self.paths.items())).encode()
        return hmac.new(self.key, told, hashlib.sha256).hexdigest()

    def hash(self, name: str, value: object) -> str | None:
        """Hash a value, such that what ``==`` counts as equal has one hash; ``None`` if it is no text or number."""
        content = written(name, value)
        return None if content is None else hmac.new(self.key, content, hashlib.sha256).hexdigest()

    def of_event(self, event: Event) -> list[dict[str, str]]:
        """Give the rows for an event."""
        wanted = [(name, path[1:]) for name, path in self._all("event") if self._may_have(event, path)]
        if not wanted:
            return []
        variable = {
            "data": json.loads(event.data),
            "user": (json.loads(event.extra) if event.extra else {}).get("user"),
        }
        return self._rows(event.id, ((name, _at(variable, path)) for name, path in wanted))

    def of_output(self, run_id: str, output: str | None) -> list[dict[str, str]]:
        """Give the rows for a completed run."""
        wanted = [(name, path[1:]) for name, path in self._all("output") if f'"{path[-1]}"' in (output or "")]
        if not wanted or output is None:
            return []
        read = json.loads(output)
        return self._rows(run_id, ((name, _at(read, path)) for name, path in wanted))

    def names_of(self, path: Path) -> list[str]:
        """Give the names that are declared to stand at a path."""
        return [name for name, paths in self.paths.items() if path in paths]

    def _all(self, root: str) -> Iterator[tuple[str, Path]]:
        return ((name, path) for name, paths in self.paths.items() for path in paths if path[0] == root)

    @staticmethod
    def _may_have(event: Event, path: Path) -> bool:
        # Most events have none of it, and to read megabytes takes longer than to search them.
        return f'"{path[-1]}"' in (event.data if path[1] == "data" else event.extra or "")

    def _rows(self, subject_id: str, found: Iterable[tuple[str, object]]) -> list[dict[str, str]]:
        hashes = {(name, self.hash(name, value)) for name, value in found}
        return [
            {"name": name, "hash": digest, "subject_id": subject_id}
            for name, digest in sorted(hashes, key=str)
            if digest
        ]


def declared(paths: Mapping[str, Sequence[str]], key: bytes | None) -> Subjects | None:
    """Read what the settings declare; ``None`` if that is nothing."""
    if not paths or key is None:
        return None
    return Subjects({name: tuple(tuple(path.split(".")) for path in each) for name, each in paths.items()}, key)


def lend(connection: sa.Connection, subjects: Subjects | None) -> None:
    """Let what is stored over somebody else's connection be noted, too."""
    if subjects is not None:
        connection.execution_options(**{OPTION: subjects})


def _of(connection: sa.Connection) -> Subjects | None:
    found = connection.get_execution_options().get(OPTION)
    return found if isinstance(found, Subjects) else None


def note_events(connection: sa.Connection, events: Sequence[Event]) -> None:
    """Note whose data events are, in the transaction that stores them."""
    subjects = _of(connection)
    if subjects is not None:
        insert_new(connection, schema.subject, [row for event in events for row in subjects.of_event(event)])


def note_output(connection: sa.Connection, run_id: str, status: RunStatus, output: str | None) -> None:
    """Note whose data an output is, in the transaction that stores it."""
    subjects = _of(connection)
    if subjects is not None and status is RunStatus.COMPLETED:
        insert_new(connection, schema.subject, subjects.of_output(run_id, output))


def concerns(subjects: Subjects | None, changes: Changes) -> bool:
    """Tell whether something of a checkpoint is to be noted."""
    end = changes.end
    if subjects is None or end is None:
        return False
    of_output = end.status is RunStatus.COMPLETED and subjects.of_output(changes.run_id, end.output)
    return bool(of_output) or any(subjects.of_event(event) for event in end.events)


def find(connection: sa.Connection, name: str, digest: str) -> list[str]:
    """Give the ids of the events and runs that have a value."""
    table = schema.subject
    query = sa.select(table.c.subject_id).where(table.c.name == name, table.c.hash == digest)
    return list(connection.execute(query.order_by(table.c.subject_id)).scalars())


def _at(value: object, path: Path) -> object:
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value
