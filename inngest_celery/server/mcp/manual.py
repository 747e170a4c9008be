"""Tools that read our documentation, as it is in the package."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from pydantic import Field

import inngest_celery
from inngest_celery.server.mcp.tools import Arguments, ToolError
from inngest_celery.server.state import Server

_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


class NoArguments(Arguments):
    pass


class DocArguments(Arguments):
    path: str = Field(description='As list_docs gives it, such as "flow-control".')


class GrepArguments(Arguments):
    pattern: str = Field(min_length=1, max_length=200, description="A regular expression; case does not matter.")
    limit: int = Field(20, ge=1, le=200, description="How many lines at most.")


def list_docs(server: Server, given: NoArguments) -> object:
    """List the pages of this server's documentation, with their paths for read_doc."""
    return {
        "docs": [{"path": path, "title": title, "characters": len(text)} for path, (title, text) in pages().items()]
    }


def read_doc(server: Server, given: DocArguments) -> object:
    """Read one page of the documentation, in Markdown. list_docs has the paths; grep_docs searches all of them."""
    if given.path not in pages():
        raise ToolError("doc_not_found", f"There is no page {given.path[:100]!r}. There are: {', '.join(pages())}.")
    title, text = pages()[given.path]
    return {"path": given.path, "title": title, "text": text}


def grep_docs(server: Server, given: GrepArguments) -> object:
    """Find lines of the documentation by a regular expression, with the page that each is on."""
    # Linear in the text, whatever the pattern is.
    import re2  # type: ignore[import-untyped]

    options = re2.Options()
    options.case_sensitive, options.log_errors = False, False
    try:
        pattern = re2.compile(given.pattern, options=options)
    except (re2.error, UnicodeEncodeError) as error:
        raise ToolError("pattern_invalid", f"This is no regular expression: {error}.") from error
    found = [
        {"path": path, "line": number, "text": line}
        for path, (_, text) in pages().items()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]
    return {"matches": found[: given.limit], "more": len(found) > given.limit}


@cache
def pages() -> dict[str, tuple[str, str]]:
    """Give the pages by their paths: what the README begins with, and each of its parts; titles and texts."""
    text = _readme()
    # What stands in code is no heading.
    blank = _FENCE.sub(lambda code: re.sub(r"[^\n]", " ", code[0]), text)
    found = [("Overview", 0)] + [(match[1].strip(), match.start()) for match in _HEADING.finditer(blank)]
    ends = [start for _, start in found[1:]] + [len(text)]
    return {_slug(title): (title, text[start:end].strip()) for (title, start), end in zip(found, ends, strict=True)}


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _readme() -> str:
    """Read the README: in the package when it came as a wheel, beside it in a clone."""
    package = Path(inngest_celery.__file__).parent
    shipped = package / "_docs" / "README.md"
    return (shipped if shipped.is_file() else package.parent / "README.md").read_text(encoding="utf-8")
