"""A bank statement of 10,000 lines against a ledger. See the README beside this file."""

from examples.reconciliation.app import app

__all__ = ["app"]
