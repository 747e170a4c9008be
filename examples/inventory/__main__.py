"""Two syncs at once, and what the vendors saw of them."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from rich.table import Table

import inngest_celery as inngest
from examples.inventory.app import app, client
from examples.inventory.vendors import PAGES, Vendor, running, the_three
from examples.stage import Stage, perform

_SYNCS = 2
# Enough to ask a vendor for all of its pages at once, if nothing held them back.
_THREADS = 12
_PATIENCE_SECONDS = 60.0


def play(stage: Stage, vendors: list[Vendor]) -> bool:
    """Give whether the limits were kept, and all stock that could be had is there."""
    stage.start_worker(threads=_THREADS)
    stage.say(f"{_SYNCS} people press the button at the same moment: {_SYNCS} runs, three vendors, {PAGES} pages each")
    events = client.send_sync([inngest.Event(name="inventory/sync.requested") for _ in range(_SYNCS)])
    outputs: list[Any] = [client.runs.wait(event, timeout=_PATIENCE_SECONDS).output for event in events]
    stage.say("both are done")

    table = Table(
        "vendor", "requests", "at once", "429s", "again after", "500s", "units", "missing",
        title="\nWhat the vendors saw, and what came of it",
    )  # fmt: skip
    good = True
    for vendor in vendors:
        pauses = [again - then for _, then, again in vendor.refused]
        reports = [output["vendors"][vendor.name] for output in outputs]
        good &= vendor.most_at_once <= vendor.at_once
        good &= all(pause >= vendor.pause for pause in pauses)
        good &= all(report["missing pages"] == sorted(vendor.broken_pages) for report in reports)
        table.add_row(
            vendor.name,
            str(vendor.requests),
            f"{vendor.most_at_once} of {vendor.at_once}",
            str(len(pauses)),
            ", ".join(f"{pause:.1f} s" for pause in pauses) or "-",
            str(vendor.failed),
            str(reports[0]["units"]),
            ", ".join(f"page {page}" for page in sorted(vendor.broken_pages)) or "-",
        )
    stage.console.print(table)
    stage.console.print(f"Together {outputs[0]['units']} units; complete: {outputs[0]['complete']}", highlight=False)
    # The limits were met, not only kept.
    met = any(vendor.most_at_once == vendor.at_once for vendor in vendors)
    return good and met and any(vendor.refused for vendor in vendors)


def main() -> int:
    """Run the demo; the exit status says whether all was as it must be."""
    vendors = the_three()

    def show(stage: Stage, _: argparse.Namespace) -> bool:
        return play(stage, vendors)

    with running(vendors) as addresses:
        # A failed page is tried again soon; the official table begins with 15 to 45 seconds.
        environment = {"VENDORS": addresses, "INNGEST_RETRY_INTERVAL": "0.3", "INNGEST_HORIZON": "5"}
        return perform(lambda: app, "examples.inventory", show, environment=environment)


if __name__ == "__main__":
    sys.exit(main())
