"""A bank's statement and a company's ledger, invented, as CSV files. Amounts are cents."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

STATEMENT, LEDGER = "statement.csv", "ledger.csv"


@dataclass(frozen=True, slots=True)
class Entry:
    """A payment, as one side has it. The reference is what both sides know it by."""

    reference: str
    cents: int


def generate(directory: Path, lines: int, seed: int = 1) -> None:
    """Write both files. Of 100 payments one is missing in the ledger, one has another amount there, and one is missing
    on the statement. What is on both stands in another order.
    """
    chance = random.Random(seed)
    statement = [Entry(f"P{number:06}", chance.randrange(100, 500_000)) for number in range(lines)]
    ledger = []
    for entry in statement:
        fate = chance.random()
        if fate < 0.01:
            continue
        ledger.append(Entry(entry.reference, entry.cents + 900) if fate < 0.02 else entry)
    ledger += [Entry(f"L{number:06}", chance.randrange(100, 500_000)) for number in range(lines // 100)]
    chance.shuffle(ledger)
    directory.mkdir(parents=True, exist_ok=True)
    _write(directory / STATEMENT, statement)
    _write(directory / LEDGER, ledger)


def read(path: Path, first: int = 0, lines: int | None = None) -> Iterator[Entry]:
    """Read a file, or a part of it: so many lines from the first one, counted from 0."""
    with path.open(newline="") as file:
        end = None if lines is None else first + lines
        for reference, cents in islice(csv.reader(file), first, end):
            yield Entry(reference, int(cents))


def _write(path: Path, entries: list[Entry]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows((entry.reference, entry.cents) for entry in entries)
