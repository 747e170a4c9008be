"""The arithmetic. It knows nothing of runs and steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from examples.reconciliation import books
from examples.reconciliation.books import Entry

Totals: TypeAlias = dict[str, int]
"""How many payments there are of a kind, and how many cents; ``matched`` and ``matched_cents``, say."""


def match(entries: Iterable[Entry], ledger: Mapping[str, int]) -> Totals:
    """Find lines of a statement in the ledger, and give the totals."""
    totals: Counter[str] = Counter()
    for entry in entries:
        booked = ledger.get(entry.reference)
        kind = "unbooked" if booked is None else "matched" if booked == entry.cents else "differing"
        totals[kind] += 1
        totals[f"{kind}_cents"] += entry.cents
        if booked is not None:
            totals["found"] += 1
            totals["found_cents"] += booked
    return dict(totals)


def joined(parts: Iterable[Totals]) -> Totals:
    """Add totals up."""
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return dict(total)


def report(totals: Totals, ledger: Mapping[str, int]) -> Totals:
    """Give what a reconciliation says in the end: what was found of the ledger tells what is not on the statement."""
    kinds = ("matched", "differing", "unbooked")
    told = {name: totals.get(name, 0) for kind in kinds for name in (kind, f"{kind}_cents")}
    told["unpaid"] = len(ledger) - totals.get("found", 0)
    told["unpaid_cents"] = sum(ledger.values()) - totals.get("found_cents", 0)
    return told


def computed_directly(directory: Path) -> Totals:
    """Give the report by sets over both files at once: what all the runs together have to come to."""
    bank = {entry.reference: entry.cents for entry in books.read(directory / books.STATEMENT)}
    ledger = {entry.reference: entry.cents for entry in books.read(directory / books.LEDGER)}
    same = {reference for reference in bank.keys() & ledger.keys() if bank[reference] == ledger[reference]}
    groups = {
        "matched": {reference: bank[reference] for reference in same},
        "differing": {reference: bank[reference] for reference in bank.keys() & ledger.keys() - same},
        "unbooked": {reference: bank[reference] for reference in bank.keys() - ledger.keys()},
        "unpaid": {reference: ledger[reference] for reference in ledger.keys() - bank.keys()},
    }
    told: Totals = {}
    for kind, group in groups.items():
        told[kind], told[f"{kind}_cents"] = len(group), sum(group.values())
    return told


@lru_cache(maxsize=1)
def ledger_of(path: Path) -> Mapping[str, int]:
    """Read the ledger, once in each process."""
    return {entry.reference: entry.cents for entry in books.read(path)}
