"""Read-only pages of runs, steps and events, which stay quick beside millions of rows."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db import connections
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from inngest_celery.django.models import Event, Run, Step
from inngest_celery.django.projects import project_app
from inngest_celery.engine.viewing import AS_STORED, Eyes
from inngest_celery.store import rows
from inngest_celery.store.rows import RunStatus
from inngest_celery.worker.runtime import runtime_of

# Nobody turns more pages than that; filters find the rest.
_MOST_ROWS = 10_000
_MOST_FUNCTIONS = 200


class CappedPaginator(Paginator):
    """Counts to a limit only, which an index answers at once however many rows there are."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list
        return len(rows.order_by("-pk").values_list("pk")[:_MOST_ROWS])


class ByFunction(admin.SimpleListFilter):
    """Filters by function, of those that there are: not of all runs that they have had."""

    title = "function"
    parameter_name = "function"
    field = "function_id"

    def lookups(self, _request: HttpRequest, _admin: Any) -> list[tuple[str, str]]:
        with connections[Run.objects.db].cursor() as cursor:
            cursor.execute("SELECT id FROM inngest_function ORDER BY id")
            return [(str(name), str(name)) for (name,) in cursor.fetchmany(_MOST_FUNCTIONS)]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{self.field: self.value()}) if self.value() else queryset


class ByStatus(admin.SimpleListFilter):
    """Filters by status."""

    title = "status"
    parameter_name = "status"

    def lookups(self, _request: HttpRequest, _admin: Any) -> list[tuple[str, str]]:
        return [(str(status.value), status.name.capitalize()) for status in RunStatus]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(status=self.value()) if self.value() else queryset


class ReadOnly(admin.ModelAdmin):
    """Shows, and changes nothing."""

    paginator = CappedPaginator
    show_full_result_count = False
    list_per_page = 50
    ordering = ("-pk",)
    actions = None

    def has_add_permission(self, _request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, _request: HttpRequest, _row: Any = None) -> bool:
        return False

    def has_delete_permission(self, _request: HttpRequest, _row: Any = None) -> bool:
        return False


def _at(milliseconds: int | None) -> datetime.datetime | None:
    return None if milliseconds is None else datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC)


def _dashboard(path: str) -> SafeString | str:
    """Link to our dashboard, where somebody has said where browsers reach it."""
    app = project_app()
    root = None if app is None else runtime_of(app).settings.public_url
    return format_html('<a href="{}/{}">{}</a>', root.rstrip("/"), path, path) if root else "–"


def _eyes() -> Eyes:
    """Give those of somebody who may only look: Django's permissions say nothing of masked values."""
    app = project_app()
    return AS_STORED if app is None else runtime_of(app).eyes


_RUN = rows.Run("", "", "", None, 0, 0)


def _memo(step: Step, run: Run) -> str:
    return _eyes().memo(step.memo, step.op, run.function_id)


@admin.register(Run)
class RunAdmin(ReadOnly):
    """The runs, the newest first."""

    list_display = ("id", "function_id", "status", "created", "ended", "dashboard")
    list_filter = (ByStatus, ByFunction)
    search_fields = ("=id",)
    search_help_text = "A run's id"
    readonly_fields = ("created", "started", "ended", "steps", "dashboard", "result")
    fields = ("id", "function_id", "status", "reason", "event", *readonly_fields)

    @admin.display(description="created")
    def created(self, run: Run) -> datetime.datetime | None:
        return _at(run.created_at)

    @admin.display(description="started")
    def started(self, run: Run) -> datetime.datetime | None:
        return _at(run.started_at)

    @admin.display(description="ended")
    def ended(self, run: Run) -> datetime.datetime | None:
        return _at(run.ended_at)

    @admin.display(description="dashboard")
    def dashboard(self, run: Run) -> SafeString | str:
        return _dashboard(f"runs/{run.pk}")

    @admin.display(description="output")
    def result(self, run: Run) -> str:
        if run.output is None:
            return "–"
        return (
            _eyes().run(replace(_RUN, function_id=run.function_id, status=run.status, output=run.output)).output or "–"
        )

    @admin.display(description="steps")
    def steps(self, run: Run) -> SafeString | str:
        steps: Sequence[Step] = list(Step.objects.filter(run_id=run.pk).order_by("seq", "ended_at")[:1000])
        lines = ((row.seq, row.name, "failed" if row.failed else "done", _memo(row, run)[:500]) for row in steps)
        return format_html_join("\n", "<div>{}. {}: {} <code>{}</code></div>", lines) if steps else "–"


@admin.register(Step)
class StepAdmin(ReadOnly):
    """The steps, those of the newest runs first."""

    list_display = ("name", "op", "run", "failed", "attempt", "ended")
    list_display_links = None
    list_select_related = ("run",)
    # A run's page has it as it may be seen.
    exclude = ("memo",)
    search_fields = ("=run__id",)
    search_help_text = "A run's id"

    @admin.display(description="ended")
    def ended(self, step: Step) -> datetime.datetime | None:
        return _at(step.ended_at)


@admin.register(Event)
class EventAdmin(ReadOnly):
    """The events, the newest first."""

    list_display = ("id", "name", "received", "dashboard")
    search_fields = ("=id", "=name")
    search_help_text = "An event's id or name"
    readonly_fields = ("received", "dashboard", "payload")
    fields = ("id", "name", "received", "dashboard", "payload")

    @admin.display(description="data")
    def payload(self, event: Event) -> str:
        return _eyes().event(rows.Event(event.pk, event.name, "", event.data, 0, 0)).data

    @admin.display(description="received")
    def received(self, event: Event) -> datetime.datetime | None:
        return _at(event.received_at)

    @admin.display(description="dashboard")
    def dashboard(self, event: Event) -> SafeString | str:
        return _dashboard(f"events/{event.pk}")
