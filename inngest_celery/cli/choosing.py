"""Options that choose runs or events, the same for every command that takes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from inngest_celery.cli.completion import AppId, FunctionId

if TYPE_CHECKING:
    from inngest_celery.worker.runtime import Runtime
    from inngest_celery.worker.selecting import EventSelection, Selection

    MomentBase = click.ParamType["Moment"]
else:
    MomentBase = click.ParamType

_STATUSES = ("scheduled", "running", "completed", "failed", "cancelled", "skipped")


@dataclass(frozen=True, slots=True)
class Moment:
    """A time as it was given: an instant, or how long ago. Milliseconds."""

    ms: int
    ago: bool

    def at(self, now: int) -> int:
        return max(now - self.ms, 0) if self.ago else self.ms


class MomentType(MomentBase):
    """``2h``, which is two hours ago, or ``2030-01-31T12:00:00Z``."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Moment:
        from inngest_celery.engine.durations import parse_duration, parse_instant

        if isinstance(value, Moment):
            return value
        try:
            return Moment(parse_duration(value), ago=True)
        except ValueError:
            pass
        try:
            return Moment(max(parse_instant(value), 0), ago=False)
        except ValueError:
            self.fail(f'{value!r} is no time: write how long ago, such as "2h", or "2030-01-31T12:00:00Z".', param, ctx)


@dataclass(frozen=True, slots=True)
class Times:
    """Since when, and until when."""

    since: Moment | None
    until: Moment | None

    def at(self, now: int) -> tuple[int | None, int | None]:
        return (
            None if self.since is None else self.since.at(now),
            None if self.until is None else self.until.at(now),
        )


@dataclass(frozen=True, slots=True)
class RunChoice:
    """Which runs were asked for."""

    statuses: tuple[str, ...]
    functions: tuple[str, ...]
    apps: tuple[str, ...]
    events: tuple[str, ...]
    times: Times
    where: str | None
    unmasked: bool = False

    @property
    def is_everything(self) -> bool:
        times = (self.times.since, self.times.until)
        return not any((self.statuses, self.functions, self.apps, self.events, *times, (self.where or "").strip()))

    def selection(self, runtime: Runtime) -> Selection:
        """Give what it means for a database.

        Raises:
            FunctionNotRegisteredError, AppNotRegisteredError: there is none of that id.
        """
        from inngest_celery.engine.viewing import AS_STORED
        from inngest_celery.store.listing import RunFilter
        from inngest_celery.store.rows import RunStatus
        from inngest_celery.worker.selecting import Selection, function_ids

        since, until = self.times.at(runtime.clock.now())
        wanted = RunFilter(
            since=since,
            until=until,
            statuses=[RunStatus[status.upper()] for status in self.statuses],
            function_ids=function_ids(runtime, self.functions, self.apps),
            event_names=self.events,
        )
        return Selection(wanted, self.where, AS_STORED if self.unmasked else None)


@dataclass(frozen=True, slots=True)
class EventChoice:
    """Which events were asked for."""

    names: tuple[str, ...]
    internal: bool
    times: Times
    where: str | None
    unmasked: bool = False

    def selection(self, runtime: Runtime) -> EventSelection:
        from inngest_celery.engine.viewing import AS_STORED
        from inngest_celery.worker.selecting import EventSelection

        since, until = self.times.at(runtime.clock.now())
        eyes = AS_STORED if self.unmasked else None
        return EventSelection(self.names, since, until, self.internal, self.where, eyes)


_TIMES = (
    click.option("--since", type=MomentType(), help="Not older: how long ago (2h, 7d), or an instant."),
    click.option("--until", type=MomentType(), help="Only older: how long ago, or an instant."),
)
_RUNS = (
    click.option("--status", "statuses", multiple=True, type=click.Choice(_STATUSES), help="Only these; repeat it."),
    click.option(
        "--function", "functions", multiple=True, type=FunctionId(), metavar="ID", help="Only of it; repeat it."
    ),
    click.option("--app", "apps", multiple=True, type=AppId(), metavar="ID", help="Only of its functions; repeat it."),
    click.option("--event", "events", multiple=True, metavar="NAME", help="Only those that it started; repeat it."),
    *_TIMES,
    click.option(
        "--where", metavar="EXPRESSION", help="Only where it is true: event.data.x == 1, output.y > 2, error.name."
    ),
)
_EVENTS = (
    click.option("--name", "names", multiple=True, metavar="NAME", help="Only these; repeat it."),
    click.option("--internal", is_flag=True, help="Also those that are made here: inngest/…"),
    *_TIMES,
    click.option("--where", metavar="EXPRESSION", help="Only where it is true, such as: event.data.x == 1"),
)


def choosing_runs(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that choose runs; it gets them as ``choice``, a :class:`RunChoice`."""

    @wraps(command)
    def chosen(
        *args: Any,
        statuses: tuple[str, ...],
        functions: tuple[str, ...],
        apps: tuple[str, ...],
        events: tuple[str, ...],
        since: Moment | None,
        until: Moment | None,
        where: str | None,
        **rest: Any,
    ) -> None:
        choice = RunChoice(statuses, functions, apps, events, Times(since, until), where)
        command(*args, choice=choice, **rest)

    return _with(chosen, _RUNS)


def choosing_events(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that choose events; it gets them as ``choice``, an :class:`EventChoice`."""

    @wraps(command)
    def chosen(
        *args: Any,
        names: tuple[str, ...],
        internal: bool,
        since: Moment | None,
        until: Moment | None,
        where: str | None,
        **rest: Any,
    ) -> None:
        command(*args, choice=EventChoice(names, internal, Times(since, until), where), **rest)

    return _with(chosen, _EVENTS)


def _with(command: Callable[..., None], options: tuple[Callable[..., Any], ...]) -> Callable[..., None]:
    for option in reversed(options):
        command = option(command)
    return command
