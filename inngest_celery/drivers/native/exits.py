"""Exceptions that are not ``Exception``: which are a worker's own end, and which are user code's like any other."""

from __future__ import annotations

from billiard import common
from greenlet import GreenletExit

from inngest_celery.sdk.errors import UnknownError

# Older versions of billiard have no function for it.
_fired = getattr(common, "terminate_handler_fired", lambda: bool(common._should_have_exited[0]))


def ends_worker(error: BaseException) -> bool:
    """Tell whether an exception is the worker being told to stop, which no step is to answer for.

    What it did is left to the lease: it runs out, and another worker takes the step up. A ``sys.exit()`` in a step, in
    contrast, is a failed attempt: it would take the next worker down too.
    """
    if type(error) is SystemExit:
        return bool(_fired())
    # Celery's own shutdown requests are kinds of SystemExit.
    return isinstance(error, SystemExit | KeyboardInterrupt | GeneratorExit | GreenletExit)


def shown(error: BaseException) -> Exception:
    """Give an exception that Celery can handle as a task's failure without ending the worker.

    Example:
        >>> shown(SystemExit(2))
        UnknownError('SystemExit: 2')
    """
    return error if isinstance(error, Exception) else UnknownError(f"{type(error).__name__}: {error}")
