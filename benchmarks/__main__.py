"""``python -m benchmarks``: measure, print tables, write ``benchmarks/results.json``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from benchmarks import growth, keeping, report, stacks
from benchmarks.contest import WAYS, contest
from benchmarks.figures import compare
from benchmarks.pages import pages
from benchmarks.remote import remote

RESULTS = Path(__file__).with_name("results.json")
_IMPORT_TARGET = 0.3
_PARTS = (*WAYS, "remote", "growth", "pages", "retention", "dropping", "rotation", "import")


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    console = Console(width=None if sys.stdout.isatty() else 180)
    found: dict[str, object] = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": _machine()}
    if "import" in options.only:
        found["import_s"] = _import_seconds()
        title = f"At most {_IMPORT_TARGET} s of CPU"
        report.show_pairs(console, title, {"import inngest_celery": f"{found['import_s']} s"})
    for name in options.stacks:
        if reason := stacks.why_not(name):
            console.print(f"{name}: left out, {reason}")
        else:
            found[name] = _measure(console, name, options)
    if not options.no_results:
        RESULTS.write_text(json.dumps(_merged(found), indent=2) + "\n")
        console.print(f"Written to {RESULTS}")
    return 0


def _merged(found: dict[str, object]) -> dict[str, object]:
    """Keep what was written before about the parts that were not measured this time."""
    before: dict[str, object] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name, value in found.items():
        earlier = before.get(name)
        before[name] = {**earlier, **value} if isinstance(earlier, dict) and isinstance(value, dict) else value
    return before


def _measure(console: Console, name: str, options: argparse.Namespace) -> dict[str, object]:
    """Measure one stack."""
    found: dict[str, object] = {}
    # Plain Celery is what all others are compared with.
    wanted = {*options.only, "plain"}
    ways = [way for key, way in WAYS.items() if key in wanted and (name == _FIRST or key not in _ON_FIRST)]
    with stacks.opened(name) as stack, console.status(name) as status:

        def say(what: str) -> None:
            status.update(f"{name}: {what}")

        if len(ways) > 1:
            lone, burst, rounds = options.lone, options.burst, options.rounds
            figures = compare(contest(stack, ways, lone=lone, burst=burst, rounds=rounds, say=say))
            report.show_contest(console, name, figures)
            found |= {way: each.as_json() for way, each in figures.items()}
        if "remote" in options.only and name == _FIRST:
            served = remote(stack, lone=options.lone, burst=options.burst, say=say)
            report.show_pairs(console, "Five steps of an app on the official SDK", served)
            found["remote"] = served
        if "growth" in options.only and name == _FIRST:
            grown = growth.long_runs(stack, options.lengths, say) | growth.many_rows(stack, options.rows, say)
            report.show_pairs(console, "How cost grows", grown)
            found["growth"] = grown
        if "pages" in options.only and name == _FIRST:
            taken = pages(stack, options.runs, say)
            report.show_pairs(console, f"The dashboard's pages beside {options.runs:,} runs", taken)
            found["pages"] = taken
        if "retention" in options.only and name == _FIRST:
            kept = keeping.retention(stack, options.old_runs, say)
            report.show_pairs(console, f"Retention of {options.old_runs:,} runs beside live load", kept)
            found["retention"] = kept
        if "dropping" in options.only and name == _FIRST:
            dropped = keeping.dropping(stack, options.old_runs // 10, say)
            report.show_pairs(console, f"Dropping {options.old_runs // 10:,} runs beside live load", dropped)
            found["dropping"] = dropped
        if "rotation" in options.only and name == _FIRST:
            sealed = keeping.rotation(stack, options.old_runs // 5, say)
            report.show_pairs(console, f"Encrypting {options.old_runs // 5:,} runs beside live load", sealed)
            found["rotation"] = sealed
    return found


_FIRST = next(iter(stacks.STACKS))
# Ways that are measured there alone; only PostgreSQL has partitions.
_ON_FIRST = {"chain", "hot partitioned"}


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", type=_names(_PARTS), default=list(_PARTS), help=f"some of {','.join(_PARTS)}")
    parser.add_argument("--stacks", type=_names(stacks.STACKS), default=list(stacks.STACKS), help="some of the stacks")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything; says little")
    parser.add_argument("--rounds", type=int, default=3, help="how often the bursts are repeated")
    parser.add_argument("--no-results", action="store_true", help=f"leave {RESULTS.name} as it is")
    options = parser.parse_args(arguments)
    share = 10 if options.quick else 1
    options.lone, options.burst, options.rows = 50 // share, 500 // share, 100_000 // share
    options.runs = 5_000_000 // share
    options.old_runs = 1_000_000 // share
    options.lengths = [length // share for length in (125, 250, 500, 1000)]
    return options


def _names(known: Iterable[str]) -> Callable[[str], list[str]]:
    def read(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",")]
        if unknown := set(names).difference(known):
            raise argparse.ArgumentTypeError(f"there is no {', '.join(sorted(unknown))}; known: {', '.join(known)}")
        return names

    return read


def _import_seconds() -> float:
    """Give the CPU seconds that the first import takes in a new process; the best of five."""
    code = "import time; began = time.process_time(); import inngest_celery; print(time.process_time() - began)"
    answers = [subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout for _ in range(5)]
    return round(min(float(answer) for answer in answers), 3)


def _machine() -> dict[str, object]:
    # How busy it was with other things when the measuring began tells how far to trust the figures.
    load = round(os.getloadavg()[0], 1)
    return {"load": load, "cores": os.cpu_count(), "python": platform.python_version(), "system": platform.system()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
