"""Stock of three slow vendors, kept in step. See the README beside this file."""

from examples.inventory.app import app

__all__ = ["app"]
