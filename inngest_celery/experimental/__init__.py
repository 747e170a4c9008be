"""What may still change.

Steps as decorators, a run in memory for tests (``mocked``), adapters for models (``ai``), messages to whoever listens
(``realtime``).
"""

from inngest_celery.experimental.step_decorator import get_step_context, set_step_context, step

__all__ = ["get_step_context", "set_step_context", "step"]
