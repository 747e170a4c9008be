"""Tells whether the audit log is what was written: each link's hash is made again from its row and the link before."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from inngest_celery.store import audit_chain
from inngest_celery.store.audit_chain import FIRST, Link, LinkKind, key_id, link_hash


@dataclass(frozen=True, slots=True)
class Problem:
    """The first thing that is not as it was written.

    Attributes:
        code: ``link_missing``, ``row_missing``, ``row_changed``, ``row_unchained``, ``end_missing``, ``head_unknown``,
            ``key_unknown`` or ``key_missing``.
        seq: the number of the link, if it is one.
        id: of the entry.
        text: what it means.
    """

    code: str
    seq: int | None
    id: str
    text: str


@dataclass(slots=True)
class Verdict:
    """What was found, up to the first problem.

    Attributes:
        entries: how many entries are as they were written.
        outcomes: how many outcomes.
        found: how many of both were there before they were chained.
        keyed: how many were chained with a key.
        seq: of the last link.
        hash: of the last link.
        key: of the last link.
    """

    entries: int = 0
    outcomes: int = 0
    found: int = 0
    keyed: int = 0
    seq: int = 0
    hash: str = FIRST
    key: str = ""
    problem: Problem | None = None


Links = Iterable[tuple[Link, Mapping[str, Any] | None]]


def check(links: Links, keys: Sequence[str] = (), head: str | None = None) -> Verdict:
    """Check a chain from its beginning, wherever it comes from.

    Args:
        links: all links in their order, each with its row, or ``None`` for one whose row is not there.
        keys: the keys of this log.
        head: a hash that was noted earlier, and has to be in the chain.
    """
    verdict, known = Verdict(), {key_id(key): key for key in ("", *keys)}
    met = head is None or head == FIRST
    for link, row in links:
        verdict.problem = _problem(verdict, link, row, known)
        if verdict.problem is not None:
            return verdict
        _count(verdict, link)
        met = met or hmac.compare_digest(link.hash.encode(), (head or "").encode())
    if not met:
        verdict.problem = Problem(
            "head_unknown",
            verdict.seq,
            "",
            "The hash that was noted earlier is not in the chain: its end was taken away, or all of it made anew.",
        )
    elif keys and verdict.seq and not verdict.key:
        verdict.problem = Problem(
            "key_missing",
            verdict.seq,
            "",
            "There is a key, and no link was made with it. If it has just been set: `audit seal` makes one.",
        )
    return verdict


def check_database(connection: sa.Connection, keys: Sequence[str] = (), head: str | None = None) -> Verdict:
    """Check the log of a database, while others go on writing.

    Args:
        connection: each statement should see what is committed by then.
        keys: see :func:`check`.
        head: see :func:`check`.
    """
    known = audit_chain.head(connection)
    verdict = check(audit_chain.links_with_rows(connection), keys, head)
    # What was appended meanwhile has moved the head, too.
    now = audit_chain.head(connection)
    if verdict.problem is None:
        verdict.problem = _end_problem(verdict, known, now) or _unchained_problem(connection)
    return verdict


def _problem(verdict: Verdict, link: Link, row: Mapping[str, Any] | None, known: Mapping[str, str]) -> Problem | None:
    def found(code: str, text: str, seq: int = link.seq) -> Problem:
        return Problem(code, seq, link.id, text)

    expected = verdict.seq + 1
    if link.seq != expected:
        return found("link_missing", f"Link {expected} is not there; the next one is {link.seq}.", expected)
    if row is None:
        return found("row_missing", "The row of this link is not there.")
    if verdict.key and not link.key:
        return found("key_missing", "It was made without a key, after others that were made with one.")
    if link.key not in known:
        return found("key_unknown", f"It was made with the key {link.key}, which inngest_audit_key does not have.")
    made = link_hash(verdict.hash, link.seq, link.kind, row, known[link.key])
    if row["id"] != link.id or not hmac.compare_digest(made.encode(), link.hash.encode()):
        return found("row_changed", "The row, or its place in the chain, is not what was written.")
    return None


def _count(verdict: Verdict, link: Link) -> None:
    kind = LinkKind(link.kind)
    verdict.entries += kind.is_entry
    verdict.outcomes += not kind.is_entry
    verdict.found += kind in (LinkKind.FOUND_ENTRY, LinkKind.FOUND_OUTCOME)
    verdict.keyed += bool(link.key)
    verdict.seq, verdict.hash, verdict.key = link.seq, link.hash, link.key


def _end_problem(verdict: Verdict, before: Link | None, after: Link | None) -> Problem | None:
    least, most = before.seq if before else 0, after.seq if after else 0
    wrong = after is not None and verdict.seq == after.seq and verdict.hash != after.hash
    if verdict.seq < least or verdict.seq > most or wrong:
        text = f"The chain ends with link {verdict.seq}, and its head says {most}: links were taken away or added."
        return Problem("end_missing", verdict.seq, "", text)
    return None


def _unchained_problem(connection: sa.Connection) -> Problem | None:
    for kind, row in audit_chain.unchained(connection, 1):
        what = "An entry" if kind.is_entry else "An outcome"
        text = f"{what} is in no link: somebody has inserted it, or a process of an older release (then: `audit seal`)."
        return Problem("row_unchained", None, row["id"], text)
    return None
