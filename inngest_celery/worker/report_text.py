"""The report of a run as Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

_SHOWN = 2_000
_UNKNOWN = "not known: sent by code of the product, or before this was noted"

# Each section's title, where its rows stand, and its columns.
SECTIONS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "Models",
        "models",
        (
            *("step", "attempt", "provider", "model", "parameters", "prompt"),
            *("usage", "cost", "answered_at", "answer", "error"),
        ),
    ),
    ("Decisions", "decisions", ("order", "step", "op", "attempts", "ended_at", "result")),
    (
        "Approvals",
        "approvals",
        ("step", "asked_for", "if", "asked_at", "until", "outcome", "ended_at", "answered_by", "event_id", "answer"),
    ),
    ("Errors and retries", "errors", ("step", "attempt", "ended_at", "retried_at", "error")),
    ("Who did what", "audit", ("at", "actor", "kind", "action", "outcome", "id")),
)  # fmt: skip


def as_markdown(made: dict[str, Any]) -> Iterator[str]:
    """Write a report as Markdown, a line at a time; long values are cut.

    Args:
        made: see :func:`inngest_celery.worker.run_report.report`.
    """
    run = made["run"]
    yield f"# Run {run['id']}"
    yield ""
    yield from (f"- {name}: {_code(run[name])}" for name in run if run[name] is not None)
    if made["cost"] is not None:
        yield f"- cost: {made['cost']:g}"
    for title, name, columns in SECTIONS:
        yield ""
        yield f"## {title}"
        yield ""
        yield from _table(rows_of(made, name), columns)
    yield ""
    yield ending(made)


def rows_of(made: dict[str, Any], name: str) -> list[dict[str, Any]] | None:
    """Give the rows of a section as they are to be read; ``None`` if whoever the report is for is not told."""
    rows: list[dict[str, Any]] | None = made[name]
    if rows is None:
        return None
    if name == "approvals":
        return [{**row, "answered_by": _by(row, hidden="approvals.answered_by" in made["left_out"])} for row in rows]
    if name == "models":
        return [{**row, "prompt": _prompt(row)} for row in rows]
    return rows


def ending(made: dict[str, Any]) -> str:
    """Say how to tell whether the report was changed."""
    return f"Made at {made['made_at']}. SHA-256 of the JSON form without `digest` (RFC 8785): `{made['digest']}`"


def text_of(value: object) -> str:
    """Write a value on one line; a long one is cut."""
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"


def _by(row: dict[str, Any], *, hidden: bool) -> str | None:
    if row["outcome"] != "answered":
        return None
    by = row["answered_by"]
    if by is None:
        return "only admins are told" if hidden else _UNKNOWN
    return " ".join(filter(None, [by["name"], f"({by['kind']})", by["id"]]))


def _prompt(row: dict[str, Any]) -> object:
    if row["prompt_kept"]:
        return row["prompt"]
    if row["prompt_sha256"]:
        return f"too large to be kept: {row['prompt_bytes']} bytes, SHA-256 {row['prompt_sha256']}"
    if row["asked_model"] or row["provider"]:
        return "not kept: the function has middleware that changes, and may encrypt, what goes in and out"
    return "not known: the step has asked by itself"


def _table(rows: list[dict[str, Any]] | None, columns: tuple[str, ...]) -> Iterator[str]:
    if not rows:
        yield "Only admins are told." if rows is None else "None."
        return
    yield f"| {' | '.join(name.replace('_', ' ') for name in columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(_code(row[name]) for name in columns)} |"


def _code(value: object) -> str:
    """Write a value so that nothing in it is Markdown: whoever sent an event may have written it."""
    cleaned = " ".join(text_of(value).replace("`", "'").replace("|", "¦").split())
    return f"`{cleaned}`" if cleaned else ""
