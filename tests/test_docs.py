"""What the guides tell people to type exists, their Python compiles, and every finding of ``doctor`` is explained."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from inngest_celery.cli import inngest

ROOT = Path(__file__).parents[1]
GUIDES = sorted((ROOT / "docs").glob("*.md"))
_BLOCK = re.compile(r"^ *```(\w+)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(inngest-celery -A proj [^`]+)`")
_LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
_OURS = re.compile(r"\$ (?:inngest-celery|celery -A proj inngest) (.+)")


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_what_is_to_be_typed_exists(guide: Path) -> None:
    text = guide.read_text()
    blocks = "\n".join(body for kind, body in _BLOCK.findall(text) if kind == "console")
    lines = _OURS.findall(blocks) + [line.removeprefix("inngest-celery ") for line in _INLINE.findall(text)]
    assert [line for line in lines if not exists(shlex.split(line, comments=True))] == []


def exists(words: list[str]) -> bool:
    """Tell whether there is such a command, with such options."""
    if words[0] == "-A":
        words = words[2:]
    command: click.Command | None = inngest
    while isinstance(command, click.Group):
        command = command.get_command(click.Context(command), words.pop(0))
    if command is None:
        return False
    known = {option for parameter in command.params for option in parameter.opts}
    return {word.partition("=")[0] for word in words if word.startswith("-")} <= known


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_python_compiles_and_links_lead_somewhere(guide: Path) -> None:
    text = guide.read_text()
    for kind, body in _BLOCK.findall(text):
        if kind == "python":
            compile(body, str(guide), "exec")
    assert [link for link in _LINK.findall(text) if "://" not in link and not (guide.parent / link).exists()] == []


def test_every_finding_of_doctor_is_explained() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "inngest_celery/cli/checks").glob("*.py"))
    codes = set(re.findall(r'(?:problem|warning|note)\(\s*"(\w+)"', sources))
    assert len(codes) > 20
    guide = (ROOT / "docs" / "what-can-go-wrong.md").read_text()
    assert sorted(code for code in codes if f"`{code}`" not in guide) == []


def test_every_code_that_is_explained_is_given_somewhere() -> None:
    guide = (ROOT / "docs" / "what-can-go-wrong.md").read_text()
    sources = "".join(path.read_text() for path in (ROOT / "inngest_celery").rglob("*.py"))
    told = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", guide))
    settings = {word for word in told if word.startswith("inngest_")}
    of_others = {"broker_connection_timeout", "consumer_timeout", "visibility_timeout"}
    assert sorted(word for word in told - settings - of_others if f'"{word}"' not in sources) == []
