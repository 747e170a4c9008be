"""What users need to test their functions."""

from inngest_celery.testing.inline import Inline, TravellingClock

__all__ = ["Inline", "TravellingClock"]
