"""What the Celery side needs of one Celery app: its settings, clock, database and name."""

from __future__ import annotations

import logging
import math
import os
import secrets
import socket
import threading
from functools import cached_property
from typing import TYPE_CHECKING

from celery import Celery

from inngest_celery.clock import Clock, clock_from
from inngest_celery.engine.door import Door, door_of
from inngest_celery.engine.viewing import ROLES, Eyes, hidden_from
from inngest_celery.flow import sentinels, tls
from inngest_celery.masking import Masker
from inngest_celery.masking.sealed import SecretKeys
from inngest_celery.settings import Settings, SettingsError, settings_of
from inngest_celery.store import subjects
from inngest_celery.store.database import Database
from inngest_celery.worker.chores import Chores
from inngest_celery.worker.step_events import StepEvents

if TYPE_CHECKING:
    from inngest_celery.drivers.connect.channel import Channel
    from inngest_celery.store.keyring import Keyring
    from inngest_celery.worker.admission import Admission
    from inngest_celery.worker.execute import Executor
    from inngest_celery.worker.realtime import Publisher
    from inngest_celery.worker.signing_keys import SigningKeys

logger = logging.getLogger(__name__)

_ATTRIBUTE = "inngest_runtime"
_REDIS = ("redis", "rediss", "valkey", "valkeys")


class Runtime:
    """One Celery app's side of inngest_celery. Made on first use, see :func:`runtime_of`."""

    def __init__(self, app: Celery) -> None:
        self.app = app
        self._names: dict[int, str] = {}
        # Off where no broker is wanted: jobs are rows, and whoever looks for due rows finds them.
        self.sends_hints = True
        # A worker has them; see SweepStep.
        self.step_events: StepEvents | None = None
        self.chores: Chores | None = None
        # Whether whoever started this worker can end the body of a step that does not end by itself.
        self.kills_bodies = False
        self._told_of_limits = False

    def renew(self) -> None:
        """Forget the settings and all that was made from them, connections included: they are read anew."""
        if "database" in self.__dict__:
            self.database.dispose()
        for name, attribute in vars(type(self)).items():
            if isinstance(attribute, cached_property):
                self.__dict__.pop(name, None)

    @cached_property
    def settings(self) -> Settings:
        return settings_of(self.app)

    def secret_keys(self) -> SecretKeys:
        """Give what seals secrets and opens them."""
        return self._secret_keys

    @cached_property
    def _secret_keys(self) -> SecretKeys:
        return self.settings.secret_keys

    @cached_property
    def door(self) -> Door:
        """What masks all that is about to be stored."""
        return door_of(self.settings.masking, self.settings.masking_secret)

    @cached_property
    def eyes(self) -> Eyes:
        """Those of somebody who may only look: for logs, Celery's events, and whoever is not known better."""
        return self.eyes_of["viewer"]

    @cached_property
    def eyes_of(self) -> dict[str, Eyes]:
        """What somebody with a role sees: ``viewer``, ``operator`` or ``admin``."""
        rules, key = self.settings.masking, self.settings.masking_secret
        return {role: Eyes(Masker(hidden_from(rules, role), key)) for role in ROLES}

    @cached_property
    def clock(self) -> Clock:
        return clock_from(self.settings.clock)

    @cached_property
    def signing_keys(self) -> SigningKeys:
        """What checks what is signed, and tokens that stand for keys."""
        from inngest_celery.worker.signing_keys import SigningKeys

        return SigningKeys(self)

    @cached_property
    def keyring(self) -> Keyring | None:
        """What payloads are encrypted with in the database.

        Raises:
            KeyringError: a key cannot be used.
        """
        keys = self.settings.encryption_keys
        if not keys:
            return None
        from inngest_celery.store.keyring import keyring_of

        return keyring_of(keys)

    @cached_property
    def database(self) -> Database:
        settings = self.settings
        return Database(
            settings.database_url,
            pool_size=settings.pool_size,
            schema=settings.table_schema,
            # Whoever is frozen for longer than a lease has lost it anyway.
            patience=math.ceil(settings.lease),
            keyring=self.keyring,
            subjects=subjects.declared(settings.subjects, settings.subject_secret),
        )

    @cached_property
    def broker_transport(self) -> str:
        """The kind of broker that the app is configured with.

        Raises:
            SettingsError: its URL names none that there is (code ``broker_url_invalid``).
        """
        try:
            connection = self.app.connection_for_write()
            connection.get_transport_cls()
        except (KeyError, ImportError, ValueError) as error:
            raise SettingsError(
                f"The broker's URL cannot be used: {error.args[0]}. Write redis://host:6379/0 or "
                "amqp://user:password@host//, and install what its transport needs.",
                code="broker_url_invalid",
            ) from error
        return str(connection.transport_cls)

    @cached_property
    def redis_url(self) -> str | None:
        """Where limits are kept: as it is set, else the broker if that is a Redis; ``None`` if there is none."""
        if self.settings.redis_url:
            return self.settings.redis_url
        broker = self.app.connection_for_write()
        if broker.transport_cls == "sentinel":
            url = self.app.conf.broker_write_url or self.app.conf.broker_url
            url = ";".join([url] if isinstance(url, str) else url)
            return sentinels.url_of_broker(url, broker.transport_options, broker.ssl)
        if broker.transport_cls not in _REDIS:
            return None
        return tls.url_of_broker(broker.as_uri(include_password=True), broker.ssl)

    @cached_property
    def admission(self) -> Admission:
        """Flow control.

        Raises:
            SettingsError: there is no Redis to keep limits in (code ``redis_missing``).
        """
        from inngest_celery.flow.gate import Gate
        from inngest_celery.worker.admission import Admission

        if self.redis_url is None:
            raise SettingsError(
                "Concurrency, throttle and rate limits are kept in Redis, and the broker is none. "
                "Set inngest_redis_url to a Redis or Valkey, such as redis://localhost:6379/0.",
                code="redis_missing",
            )
        return Admission(self, Gate(self.redis_url, self.settings.redis_prefix, self.settings.hint_timeout_ms))

    @cached_property
    def channel(self) -> Channel:
        """Where apps that dial in are called.

        Raises:
            SettingsError: there is no Redis for it (code ``redis_missing``).
        """
        from inngest_celery.drivers.connect.channel import Channel

        if self.redis_url is None:
            raise SettingsError(
                "Apps that dial in are called through Redis, and there is none. Set inngest_redis_url.",
                code="redis_missing",
            )
        return Channel(self.redis_url, self.settings.redis_prefix, self.settings.lease)

    @cached_property
    def publisher(self) -> Publisher:
        """What publishes realtime messages from this process."""
        from inngest_celery.worker.realtime import Publisher

        assert self.redis_url is not None
        return Publisher(self.redis_url, self.settings.redis_prefix)

    @cached_property
    def executor(self) -> Executor:
        """What carries runs on, for this process."""
        from inngest_celery.worker.execute import Executor
        from inngest_celery.worker.leases import LeaseKeeper

        return Executor(self, LeaseKeeper(self))

    @cached_property
    def route_queue(self) -> str:
        """The queue of jobs that belong to no function of their own."""
        return self.settings.task_queue or str(self.app.conf.task_default_queue)

    def tell_if_not_killing(self) -> None:
        """Say, once, that a time limit is not kept here: nobody can end a thread, nor a process from within."""
        if self.kills_bodies or self._told_of_limits:
            return
        self._told_of_limits = True
        logger.warning(
            "The time_limit of a step is not kept by this worker: only the prefork pool can stop a body. It goes on "
            "until it ends by itself.",
            extra={"action": "time_limit_not_kept"},
        )

    @property
    def worker_name(self) -> str:
        """The name under which this process holds leases; a new one in each process."""
        process = os.getpid()
        name = self._names.get(process)
        if name is None:
            # Threads of a pool may all come here first; one name wins.
            name = self._names.setdefault(process, self.name_of_process(process) + secrets.token_hex(3))
        return name

    @staticmethod
    def name_of_process(pid: int) -> str:
        """Give what the name of a process of this machine begins with."""
        return f"{socket.gethostname()}:{pid}:"


_guard = threading.Lock()


def runtime_of(app: Celery) -> Runtime:
    """Give the runtime of a Celery app."""
    # A Celery app answers for attributes of the app that it stands for; the real one keeps ours.
    app = getattr(app, "_get_current_object", lambda: app)()
    with _guard:
        runtime: Runtime | None = app.__dict__.get(_ATTRIBUTE)
        if runtime is None:
            runtime = app.__dict__[_ATTRIBUTE] = Runtime(app)
    return runtime
