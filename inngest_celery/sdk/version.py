"""This package's version."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def package_version() -> str:
    """Give the version that is installed; ``0`` in a checkout that is not installed."""
    try:
        return version("inngest-celery")
    except PackageNotFoundError:
        return "0"
