"""``limits``: see what limits functions, set other limits for a while, take them back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from inngest_celery.cli.access import recorded
from inngest_celery.cli.group import HasApp, runtime_for
from inngest_celery.cli.inputs import read_duration

if TYPE_CHECKING:
    from inngest_celery.worker.limits import LimitInfo

_UNTOLD = "Redis does not answer. The workers tell it this within 30 seconds of its coming back."


@click.group()
def limits() -> None:
    """See the limits of functions, set others while all runs, take them back."""


@limits.command("list")
@click.option("--function", "function_id", metavar="ID", help="Only of this function, by its full id.")
@click.option(
    "--keys", default=5, show_default=True, type=click.IntRange(1, 100), help="How many keys of a limit, busiest first."
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def list_(target: HasApp, function_id: str | None, keys: int, as_json: bool) -> None:
    """List limits: what the code says, what holds, and how much of it is used, by key."""
    from inngest_celery.cli import output
    from inngest_celery.worker.limits import Limits

    with runtime_for(target) as runtime:
        found = Limits(runtime.app).list(function_id, keys)
    if as_json:
        output.print_json([_as_json(each) for each in found])
        return
    listed = output.table("FUNCTION", "LIMIT", "CODE", "HOLDS", "UNTIL", "KEY", "USED", "WAITING")
    for each in found:
        for row in _rows(each):
            listed.add_row(*row)
    output.console().print(listed if found else "No function has limits.")
    if any(each.keys is None for each in found):
        click.echo("Redis does not tell what is in use: it does not answer, or a worker has yet to tell it the limits.")


@limits.command("set")
@click.argument("function_id")
@click.argument("policy")
@click.option("--limit", required=True, type=float, help="How many, or how much of a budget. 0: nothing begins.")
@click.option("--period", metavar="DURATION", help="Of a throttle or rate limit, such as 10s; else the code's.")
@click.option("--burst", type=int, help="Of a throttle; else the code's.")
@click.option("--for", "lasting", metavar="DURATION", help="Such as 2h; then the code's holds again. Else until reset.")
@click.pass_obj
def set_(
    target: HasApp,
    function_id: str,
    policy: str,
    limit: float,
    period: str | None,
    burst: int | None,
    lasting: str | None,
) -> None:
    """Let a limit be another than the code says, at once and for all workers.

    POLICY is a limit that the function has in its code, named as `limits list` does: concurrency.0, throttle, … . For a
    limit with a key it is that of each key.

    \b
    Example:
      inngest-celery -A proj limits set shop-pay concurrency.0 --limit 20 --for 2h
    """
    import json

    from inngest_celery.cli.output import instant
    from inngest_celery.worker.limits import Limits
    from inngest_celery.worker.why.wording import limit_in_words

    period_ms = None if period is None else read_duration(period, "--period")
    for_ms = None if lasting is None else read_duration(lasting, "--for")
    with runtime_for(target) as runtime:
        details = {"policy": policy, "limit": limit, "for_ms": for_ms}
        with recorded(runtime, "limit.set", function_id, details):
            stored, told = Limits(runtime.app).set(
                function_id, policy, limit, period_ms=period_ms, burst=burst, for_ms=for_ms
            )
    until = f"until {instant(stored.expires_at)}" if stored.expires_at else "until it is reset"
    click.echo(f"{function_id} {policy}: {limit_in_words(policy, json.loads(stored.config))}, {until}.")
    if not told:
        click.echo(_UNTOLD, err=True)


@limits.command()
@click.argument("function_id")
@click.argument("policy")
@click.pass_obj
def reset(target: HasApp, function_id: str, policy: str) -> None:
    """Let what the code says hold again."""
    from inngest_celery.worker.limits import Limits

    with runtime_for(target) as runtime, recorded(runtime, "limit.reset", function_id, {"policy": policy}):
        dropped, told = Limits(runtime.app).reset(function_id, policy)
    was = "" if dropped else " Nothing else was set."
    click.echo(f"{function_id} {policy}: what the code says holds.{was}")
    if not told:
        click.echo(_UNTOLD, err=True)


def _rows(info: LimitInfo) -> list[list[str]]:
    """Give the lines of a limit: the first key stands beside the limit itself, the others below."""
    from inngest_celery.cli.output import instant
    from inngest_celery.worker.why.wording import limit_in_words

    until = instant(info.expires_at) if info.expires_at else "reset" if info.set_at else ""
    holds = limit_in_words(info.policy, info.holds) if info.set_at else ""
    head = [info.function_id, info.policy, limit_in_words(info.policy, info.code), holds, until]
    most = info.holds["limit"] + info.holds.get("burst", 0)
    used = [
        [
            "" if info.key is None else f"{info.key} = {each.value or '?'}",
            f"{each.taken:.12g} of {most:.12g}",
            str(each.waiting or ""),
        ]
        for each in info.keys or []
    ]
    if not used:
        used = [[info.key or "", "", ""]]
    return [[*(head if position == 0 else [""] * len(head)), *row] for position, row in enumerate(used)]


def _as_json(info: LimitInfo) -> dict[str, object]:
    from inngest_celery.cli.output import iso

    return {
        "function_id": info.function_id,
        "policy": info.policy,
        "key": info.key,
        "code": dict(info.code),
        "holds": {name: value for name, value in info.holds.items() if name != "until"},
        "set_at": iso(info.set_at),
        "expires_at": iso(info.expires_at),
        "keys": info.keys
        if info.keys is None
        else [
            {"value": each.value, "taken": each.taken, "waiting": each.waiting, "next_at": iso(each.next_at)}
            for each in info.keys
        ],
    }
