"""What the fleet does to pictures. It does not change on the way."""

from __future__ import annotations

import os
from pathlib import Path

WIDTHS = (64, 256, 1024)


def copy(picture: str) -> str:
    """Fetch a picture. That of a flaky host comes at the second attempt.

    Raises:
        ConnectionError: the host does not answer.
        FileNotFoundError: it has no such picture.
    """
    source, target = _directory() / picture, _directory() / f"copy of {picture}"
    _note("copy", picture)
    if picture.startswith("flaky") and not (_directory() / f"seen {picture}").exists():
        (_directory() / f"seen {picture}").touch()
        raise ConnectionError(f"the host of {picture} does not answer")
    target.write_text(source.read_text())
    return target.name


def shrink(name: str, width: int) -> str:
    """Make a picture smaller."""
    _note("shrink", f"{name} {width}")
    target = _directory() / f"{width} of {name}"
    target.write_text((_directory() / name).read_text()[:width])
    return target.name


def publish(picture: str, thumbnails: list[str]) -> dict[str, object]:
    """Put the small pictures where people see them."""
    _note("publish", picture)
    return {"picture": picture, "bytes": sum(len((_directory() / name).read_text()) for name in thumbnails)}


def _note(what: str, of: str) -> None:
    """Write down what was done, and by which worker."""
    journal = os.open(_directory() / "journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(journal, f"{os.environ.get('WORKER', '')}|{what}|{of}\n".encode())
    os.close(journal)


def _directory() -> Path:
    return Path(os.environ["PICTURES"])
