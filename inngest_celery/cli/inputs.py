"""What commands read: JSON from an option, a file or standard input; durations."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click


def read_json(given: str, option: str) -> object:
    """Read JSON text, ``@file`` or ``-``, which is standard input.

    Raises:
        click.BadParameter: it cannot be read.
    """
    text = given
    if given == "-":
        text = sys.stdin.read()
    elif given.startswith("@"):
        try:
            text = Path(given[1:]).read_text()
        except OSError as error:
            raise click.BadParameter(f"cannot read {given[1:]}: {error.strerror}", param_hint=option) from error
    try:
        value: object = json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"this is not JSON: {error}", param_hint=option) from error
    return value


def read_object(given: str, option: str) -> dict[str, Any]:
    """Read a JSON object; see :func:`read_json`.

    Raises:
        click.BadParameter: it cannot be read, or is none.
    """
    value = read_json(given, option)
    if not isinstance(value, dict):
        raise click.BadParameter('this must be a JSON object, such as {"id": 1}', param_hint=option)
    return value


def read_list(given: str, option: str) -> list[Any]:
    """Read a JSON list; see :func:`read_json`.

    Raises:
        click.BadParameter: it cannot be read, or is none.
    """
    value = read_json(given, option)
    if not isinstance(value, list):
        raise click.BadParameter("this must be a JSON list, such as [1]: the step's arguments", param_hint=option)
    return value


def read_duration(given: str, option: str) -> int:
    """Read a duration, such as ``90d``, and give its milliseconds.

    Raises:
        click.BadParameter: it is none.
    """
    from inngest_celery.engine.durations import parse_duration

    try:
        return parse_duration(given)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from error
