"""Takes the Python blocks out of a guide, so that what it shows is what is tested."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
# Marks a block that other tests stand for.
_SHOWN = "<!-- shown, not run -->\n"
_BLOCK = re.compile(rf"({re.escape(_SHOWN)})?^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def sections(name: str) -> dict[str, list[str]]:
    """Give the blocks of a guide by the heading that they stand under; those before the first one under ""."""
    found: dict[str, list[str]] = {}
    for part in re.split(r"^## ", (DOCS / name).read_text(), flags=re.MULTILINE):
        heading = part.partition("\n")[0] if found else ""
        found[heading] = [block for shown, block in _BLOCK.findall(part) if not shown]
    return {heading: blocks for heading, blocks in found.items() if blocks or not heading}
