"""Constants of the SDK."""

from __future__ import annotations

import enum

from inngest_celery.sdk.environment import CLOUD_API as DEFAULT_API_ORIGIN
from inngest_celery.sdk.environment import CLOUD_EVENTS as DEFAULT_EVENT_API_ORIGIN
from inngest_celery.sdk.environment import DEV_SERVER as DEV_SERVER_ORIGIN
from inngest_celery.sdk.types import Streaming
from inngest_celery.sdk.version import package_version

AUTHOR = "inngest"
DEFAULT_SERVE_PATH = "/api/inngest"
LANGUAGE = "py"
VERSION = package_version()


class EnvKey(enum.Enum):
    """Environment variables."""

    API_BASE_URL = "INNGEST_API_BASE_URL"
    BASE_URL = "INNGEST_BASE_URL"
    CONNECT_MAX_WORKER_CONCURRENCY = "INNGEST_CONNECT_MAX_WORKER_CONCURRENCY"
    DEV = "INNGEST_DEV"
    ENABLE_UNAUTHED_SYNC = "INNGEST_ENABLE_UNAUTHED_SYNC"
    ENV = "INNGEST_ENV"
    EVENT_API_BASE_URL = "INNGEST_EVENT_API_BASE_URL"
    EVENT_KEY = "INNGEST_EVENT_KEY"
    RAILWAY_GIT_BRANCH = "RAILWAY_GIT_BRANCH"
    RENDER_GIT_BRANCH = "RENDER_GIT_BRANCH"
    SERVE_ORIGIN = "INNGEST_SERVE_ORIGIN"
    SERVE_PATH = "INNGEST_SERVE_PATH"
    SIGNING_KEY = "INNGEST_SIGNING_KEY"
    SIGNING_KEY_FALLBACK = "INNGEST_SIGNING_KEY_FALLBACK"
    STREAMING = "INNGEST_STREAMING"
    THREAD_POOL_MAX_WORKERS = "INNGEST_THREAD_POOL_MAX_WORKERS"
    VERCEL_GIT_BRANCH = "VERCEL_GIT_COMMIT_REF"


__all__ = [
    "AUTHOR",
    "DEFAULT_API_ORIGIN",
    "DEFAULT_EVENT_API_ORIGIN",
    "DEFAULT_SERVE_PATH",
    "DEV_SERVER_ORIGIN",
    "LANGUAGE",
    "VERSION",
    "EnvKey",
    "Streaming",
]
