"""The report of a run: to look at, to print, and to keep."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from inngest_celery.server import reports
from inngest_celery.server.access import Viewer
from inngest_celery.server.rendering import page
from inngest_celery.server.state import Serving
from inngest_celery.worker import report_text

router = APIRouter(prefix="/runs/{run_id}")


@router.get("/report")
def show(request: Request, server: Serving, person: Viewer, run_id: str) -> Response:
    """Show the report, as it is printed."""
    made = reports.report_for(server, person, run_id)
    sections = [
        (title, columns, report_text.rows_of(made, name)) for title, name, columns in report_text.SECTIONS
    ]  # fmt: skip
    return page(request, "report.html", made=made, sections=sections, text_of=report_text.text_of)


@router.get("/report.json")
def as_json(server: Serving, person: Viewer, run_id: str) -> Response:
    """Give the report as a file for programs, with everything in full."""
    return _file(reports.as_json(reports.report_for(server, person, run_id)), "application/json", f"{run_id}.json")


@router.get("/report.md")
def as_markdown(server: Serving, person: Viewer, run_id: str) -> Response:
    """Give the report as a file for people."""
    return _file(reports.as_markdown(reports.report_for(server, person, run_id)), "text/markdown", f"{run_id}.md")


def _file(text: str, kind: str, name: str) -> Response:
    headers = {"content-disposition": f'attachment; filename="run-{name}"', "cache-control": "no-store"}
    return Response(text, media_type=f"{kind}; charset=utf-8", headers=headers)
