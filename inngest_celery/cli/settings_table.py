"""``python -m inngest_celery.cli.settings_table`` prints the README's table of settings."""

from __future__ import annotations

from pydantic_core import PydanticUndefined

from inngest_celery.settings import PREFIX, Settings


def settings_table() -> str:
    """Give all settings as a Markdown table.

    Example:
        >>> settings_table().splitlines()[0]
        '| Setting | Default | What it is |'
    """
    lines = ["| Setting | Default | What it is |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, "", PydanticUndefined) else f"`{_shown(field.default)}`"
        description = (field.description or "").replace("|", "\\|")
        lines.append(f"| `{PREFIX}{name}` | {default} | {description} |")
    return "\n".join(lines)


def _shown(default: object) -> str:
    return f"{default:g}" if isinstance(default, float) else str(default)


if __name__ == "__main__":
    print(settings_table())
