"""``why``: say what a run waits for, and what would change that."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from inngest_celery.cli.group import HasApp, runtime_for

if TYPE_CHECKING:
    from inngest_celery.worker.why.reason import Explanation, Reason


@click.command()
@click.argument("run_id", metavar="RUN_ID")
@click.option(
    "--timeout",
    default=1.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Seconds to wait for the answers of workers, where it matters who takes messages. 0: ask none.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def why(target: HasApp, run_id: str, timeout: float, as_json: bool) -> None:
    """Say what a run waits for, and what would change that.

    RUN_ID may also be the id of an event that has started one run, or is still to be routed. It reads the database and,
    where that matters, asks Redis, the broker and the workers. It changes nothing.
    """
    from inngest_celery.cli import output
    from inngest_celery.worker.runs import Runs

    with runtime_for(target) as runtime:
        found = Runs(runtime.app).why(run_id, timeout)
    if as_json:
        output.print_json(_as_json(found))
    else:
        _print(found, run_id)


def _print(found: Explanation, asked: str) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from inngest_celery.cli.output import console, duration, instant, status_text

    out, run = console(), found.run
    if run is None:
        out.print(f"[bold]{asked}[/]  an event that is still to be routed", soft_wrap=True)
    else:
        times = f"  {instant(run.ended_at)}" if run.ended_at else ""
        out.print(f"[bold]{run.id}[/]  {status_text(run.status)}  {run.function_id}{times}", soft_wrap=True)
    for reason in found.reasons:
        lines = Text(reason.text)
        if reason.next_at is not None:
            lines.append(f"\n{_WHEN.get(reason.code, 'Goes on')}: {instant(reason.next_at)}, ")
            lines.append(f"in {duration(reason.next_at - found.at)}" if reason.next_at > found.at else "now")
        lines.append(f"\n{reason.advice}", "dim")
        out.print(Text(f"\n{_title(reason)}", "bold"))
        out.print(Padding(lines, (0, 0, 0, 2), expand=False))


_WHEN = {
    "in_line": "Its turn comes, as it looks now",
    "deadline": "Is cancelled",
    "waiting_for_event": "Gives up",
    "waiting_for_task": "Is asked for",
}


def _title(reason: Reason) -> str:
    named = reason.code.replace("_", " ")
    return f"{named}, step {reason.step}" if reason.step else named


def _as_json(found: Explanation) -> dict[str, object]:
    from inngest_celery.cli.output import iso

    run = found.run
    return {
        "run": run
        and {
            "id": run.id,
            "function_id": run.function_id,
            "status": run.status.name.lower(),
            "created_at": iso(run.created_at),
            "started_at": iso(run.started_at),
            "ended_at": iso(run.ended_at),
        },
        "at": iso(found.at),
        "reasons": [_reason(reason) for reason in found.reasons],
    }


def _reason(reason: Reason) -> dict[str, object]:
    from inngest_celery.cli.output import iso

    value: dict[str, object] = {**asdict(reason), "next_at": iso(reason.next_at)}
    if reason.in_line is not None:
        value["in_line"] = asdict(reason.in_line) | {"set_until": iso(reason.in_line.set_until)}
    return value
