"""What users need to test their functions."""

from inngest_celery.clock import StandingClock, TravellingClock
from inngest_celery.testing.inline import Inline

__all__ = ["Inline", "StandingClock", "TravellingClock"]
