"""Middleware."""

from inngest_celery.sdk.middleware import (
    Middleware,
    MiddlewareSync,
    TransformOutputResult,
    TransformOutputStepInfo,
    UninitializedMiddleware,
)

__all__ = [
    "Middleware",
    "MiddlewareSync",
    "TransformOutputResult",
    "TransformOutputStepInfo",
    "UninitializedMiddleware",
]
