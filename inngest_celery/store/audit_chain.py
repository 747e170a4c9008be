"""The chain that the audit log is: one link for each row, with a hash of the row and of the link before.

The rows themselves are never changed: links stand in a table of their own. A link's hash is over the RFC 8785 form of
``{"v": 1, "seq", "kind", "key", "previous", "row"}``: SHA-256, or HMAC-SHA-256 where there is a key. That form is fixed
for ever: chains that were begun with it are to be verified.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import jcs
import sqlalchemy as sa

from inngest_celery.crash import crash_point
from inngest_celery.store import schema
from inngest_celery.store.database import DatabaseError
from inngest_celery.store.inserts import insert_new

FIRST: Final = "0" * 64
_HEAD = "head"
_PAGE = 1000
_KEY_ID = b"inngest audit key"
_KEY_ID_LENGTH = 16


class LinkKind(enum.StrEnum):
    """What a link is of. A row is *found* if it was there before its link: an older release wrote it, so it is vouched
    for from then on only."""

    ENTRY = "entry"
    OUTCOME = "outcome"
    FOUND_ENTRY = "found_entry"
    FOUND_OUTCOME = "found_outcome"

    @property
    def is_entry(self) -> bool:
        return self in (LinkKind.ENTRY, LinkKind.FOUND_ENTRY)


@dataclass(frozen=True, slots=True)
class Link:
    """A link.

    Attributes:
        seq: its number, from 1, without gaps.
        kind: see :class:`LinkKind`.
        id: of the entry that its row is, or is the outcome of.
        key: which key its hash was made with; empty if with none.
        hash: in hexadecimal.
    """

    seq: int
    kind: str
    id: str
    key: str
    hash: str


class AuditKeyMissing(DatabaseError):
    """The log is kept with a key, and this process has none. ``code`` is ``audit_key_missing``."""

    def __init__(self) -> None:
        super().__init__(
            "audit_key_missing",
            "The audit log is chained with a key, and this process has none, so nothing is done that belongs into it. "
            "Set inngest_audit_key (INNGEST_AUDIT_KEY) to the same value as elsewhere.",
        )


def key_id(key: str) -> str:
    """Give what a link says of the key that it was made with; nothing can be learned of the key from it.

    Example:
        >>> key_id(""), len(key_id("some key"))
        ('', 16)
    """
    return hmac.new(key.encode(), _KEY_ID, hashlib.sha256).hexdigest()[:_KEY_ID_LENGTH] if key else ""


def link_hash(previous: str, seq: int, kind: str, row: Mapping[str, object], key: str = "") -> str:
    """Give the hash of a link.

    Args:
        previous: the hash of the link before; :data:`FIRST` for the first.
        seq: the link's number.
        kind: see :class:`LinkKind`.
        row: all columns of the row.
        key: the key, if there is one.
    """
    content = {"v": 1, "seq": seq, "kind": str(kind), "key": key_id(key), "previous": previous, "row": dict(row)}
    written = jcs.canonicalize(content)
    assert isinstance(written, bytes)
    return hmac.new(key.encode(), written, hashlib.sha256).hexdigest() if key else hashlib.sha256(written).hexdigest()


def append(
    connection: sa.Connection, rows: Sequence[tuple[LinkKind, Mapping[str, Any]]], keys: Sequence[str] = ()
) -> None:
    """Chain rows of the log, in the transaction that has added them. Whoever else appends waits for its end.

    Args:
        rows: what each is, and all of its columns.
        keys: the keys, the one to use first.

    Raises:
        AuditKeyMissing: the chain is kept with a key, and none is given.
    """
    head, key = _lock_head(connection), keys[0] if keys else ""
    if head.key and not key:
        raise AuditKeyMissing
    links: list[Link] = []
    previous, seq = head.hash, head.seq
    for kind, row in rows:
        seq += 1
        previous = link_hash(previous, seq, kind, row, key)
        links.append(Link(seq, kind, row["id"], key_id(key), previous))
    if links:
        connection.execute(sa.insert(schema.audit_link), [asdict(link) for link in links])
        crash_point("audit_linked")
        _move_head(connection, links[-1])


def head(connection: sa.Connection) -> Link | None:
    """Give the newest link as the head's row has it; ``None`` if nothing was chained yet."""
    table = schema.audit_head
    row = connection.execute(sa.select(table.c.seq, table.c.key, table.c.hash).where(table.c.name == _HEAD)).first()
    return Link(row.seq, "", "", row.key, row.hash) if row is not None and row.seq else None


def links_with_rows(connection: sa.Connection, after: int = 0) -> Iterator[tuple[Link, dict[str, Any] | None]]:
    """Give all links in their order, a page at a time, each with its row, or with ``None`` if that is not there."""
    table = schema.audit_link
    query = sa.select(table).order_by(table.c.seq).limit(_PAGE)
    while True:
        page = [Link(**row._mapping) for row in connection.execute(query.where(table.c.seq > after))]
        if not page:
            return
        entries = _rows(connection, schema.audit, [link.id for link in page if LinkKind(link.kind).is_entry])
        outcomes = _rows(
            connection, schema.audit_outcome, [link.id for link in page if not LinkKind(link.kind).is_entry]
        )
        for link in page:
            yield link, (entries if LinkKind(link.kind).is_entry else outcomes).get(link.id)
        after = page[-1].seq


def unchained(connection: sa.Connection, limit: int) -> list[tuple[LinkKind, dict[str, Any]]]:
    """Give rows that have no link, entries first, each kind by its id: what an older release has written, or nobody
    who was asked to."""
    found: list[tuple[LinkKind, dict[str, Any]]] = []
    link = schema.audit_link
    for table, found_kind, kind in (
        (schema.audit, LinkKind.FOUND_ENTRY, LinkKind.ENTRY),
        (schema.audit_outcome, LinkKind.FOUND_OUTCOME, LinkKind.OUTCOME),
    ):
        chained = sa.exists().where(link.c.id == table.c.id, link.c.kind.in_([kind, found_kind]))
        query = sa.select(table).where(~chained).order_by(table.c.id).limit(limit - len(found))
        found += [(found_kind, dict(row._mapping)) for row in connection.execute(query)]
    return found


def chain_found(connection: sa.Connection, keys: Sequence[str] = (), limit: int = _PAGE) -> int:
    """Chain some of the rows that have no link, as found; tell how many."""
    _lock_head(connection)
    rows = unchained(connection, limit)
    append(connection, rows, keys)
    return len(rows)


def _rows(connection: sa.Connection, table: sa.Table, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    if not ids:
        return {}
    return {row.id: dict(row._mapping) for row in connection.execute(sa.select(table).where(table.c.id.in_(ids)))}


def _lock_head(connection: sa.Connection) -> Link:
    table = schema.audit_head
    query = sa.select(table.c.seq, table.c.key, table.c.hash).where(table.c.name == _HEAD).with_for_update()
    row = connection.execute(query).first()
    if row is None:
        insert_new(connection, table, [{"name": _HEAD, **_end(connection)}])
        row = connection.execute(query).one()
    return Link(row.seq, "", "", row.key, row.hash)


def _end(connection: sa.Connection) -> dict[str, object]:
    """Give what the head's row should say, from the links: it is there unless somebody has taken it away."""
    table = schema.audit_link
    last = connection.execute(sa.select(table).order_by(table.c.seq.desc()).limit(1)).first()
    return {"seq": last.seq, "key": last.key, "hash": last.hash} if last else {"seq": 0, "key": "", "hash": FIRST}


def _move_head(connection: sa.Connection, link: Link) -> None:
    table = schema.audit_head
    values = {"seq": link.seq, "key": link.key, "hash": link.hash}
    connection.execute(sa.update(table).where(table.c.name == _HEAD).values(**values))
