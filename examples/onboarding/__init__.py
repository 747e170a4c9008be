"""Sign-up, welcome mail, three days of patience, a reminder. See the README beside this file."""

from examples.onboarding.app import app

__all__ = ["app"]
