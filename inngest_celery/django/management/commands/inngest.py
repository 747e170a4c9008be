"""``manage.py inngest …``: the command line of inngest_celery, with the project's Celery app."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from inngest_celery.cli import inngest
from inngest_celery.django.projects import project_app


class Command(BaseCommand):
    """Hands its arguments on to Click."""

    help = "Durable functions: look after their runs, tables and workers (manage.py inngest --help)."
    requires_system_checks: list[str] = []  # noqa: RUF012  Django's own way

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("arguments", nargs=argparse.REMAINDER)

    def run_from_argv(self, argv: list[str]) -> None:
        """Leave all options to Click, ``--help`` too."""
        inngest.main(argv[2:], prog_name=f"{Path(argv[0]).name} inngest", obj=self._target())

    def handle(self, *_arguments: Any, arguments: list[str], **_options: Any) -> None:
        inngest.main(arguments, prog_name="manage.py inngest", obj=self._target(), standalone_mode=False)

    def _target(self) -> SimpleNamespace:
        app = project_app()
        if app is None:
            raise CommandError("There is no Celery app. Make one in <project>/celery.py, or set CELERY_APP.")
        return SimpleNamespace(app=app)
