"""What a page costs the database."""

from __future__ import annotations

import sqlalchemy as sa

from tests.server.stage import Stage


def statements_of(stage: Stage, path: str) -> list[str]:
    """Ask for a page, and give the statements that it took.

    The smaller of two countings: every few seconds the server looks at its apps, whatever is asked.
    """
    return min((_counted(stage, path) for _ in range(2)), key=len)


def _counted(stage: Stage, path: str) -> list[str]:
    sent: list[str] = []

    def note(*given: object) -> None:
        sent.append(str(given[2]))

    engine = stage.bench.database.engine
    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        assert stage.http.get(path).status_code == 200
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)
    return sent
