"""All settings, in one model.

They live in the Celery app's own configuration in lower case (``app.conf.inngest_database_url = ...``; under Django's
``CELERY_`` namespace ``CELERY_INNGEST_DATABASE_URL``). Where the app sets nothing, the environment does
(``INNGEST_DATABASE_URL``), and then the default. The README's table is generated from the descriptions here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from typing import Literal

from celery import Celery
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from inngest_celery.keeping import KeepRule
from inngest_celery.masking.rules import Rule
from inngest_celery.masking.sealed import SecretKeys, read_keys
from inngest_celery.webhooks import Webhook

PREFIX = "inngest_"
_SUBJECT_PATH = re.compile(r"(event\.(data|user)|output)(\.[A-Za-z_][A-Za-z0-9_]*)+", re.ASCII)


class SettingsError(ValueError):
    """A setting cannot be used. The message names it and says what it takes.

    Attributes:
        code: ``setting_invalid``, or a narrower one.
    """

    def __init__(self, message: str, *, code: str = "setting_invalid") -> None:
        super().__init__(message)
        self.code = code


class Settings(BaseModel):
    """What ``inngest_…`` in the Celery configuration may say. Times are seconds unless a name says otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    database_url: str = Field(
        "sqlite:///.inngest/inngest.db",
        description="SQLAlchemy URL of the database that holds events, runs and steps (`postgresql+psycopg://…`, "
        "`mysql+pymysql://…`, `sqlite:///…`).",
    )
    table_schema: str | None = Field(None, description="Database schema for the tables; the connection's own if empty.")
    task_queue: str | None = Field(None, description="Queue for functions that name none; the app's default if empty.")
    redis_url: str | None = Field(
        None,
        description="Redis, Valkey or a cluster (`redis+cluster://host:port`), or one behind sentinels "
        "(`sentinel://host:26379;sentinel://…/0?master_name=…`), that keeps concurrency, throttles and rate limits, "
        "and passes on realtime messages; the broker if that is Redis.",
    )
    redis_prefix: str = Field("inngest", min_length=1, description="What the keys in that Redis begin with.")
    horizon: float = Field(
        60.0,
        gt=0,
        description="A job due sooner than this gets a Celery message with an ETA; a later one stays a row. Never more "
        "than a third of the broker's `visibility_timeout`.",
    )
    slice: float = Field(
        0.25,
        ge=0,
        description="How long a worker may keep a run and take its next steps itself. 0: a message for every step.",
    )
    sweep_interval: float = Field(1.0, gt=0, description="How often due, lost and abandoned jobs are looked for.")
    sweep_limit: int = Field(500, ge=1, description="The most jobs that one sweep takes up.")
    lease: float = Field(
        30.0, ge=1, description="How long a worker holds a job without renewing; a dead worker's job moves on after it."
    )
    transaction_idle: int = Field(
        300,
        ge=1,
        description="How long the body of a transactional step may do nothing with the database, until the server ends "
        "its transaction, so that a frozen worker does not keep its locks for ever (PostgreSQL and MariaDB).",
    )
    endpoint_lease: float = Field(
        300.0,
        ge=1,
        description="How long an app may be silent about a run that it executes itself (a durable endpoint), until it "
        "is called to go on with it.",
    )
    hint_timeout: float = Field(
        10.0, gt=0, description="How long a message may stay unanswered before it is sent again; doubles each time."
    )
    cron_missed: Literal["latest", "skip"] = Field(
        "latest", description="What becomes of cron ticks missed while nothing ran: run the latest once, or none."
    )
    retry_interval: float | None = Field(
        None, gt=0, description="A constant delay between attempts instead of the official table; for development."
    )
    clock: str = Field(
        "system",
        pattern="^(system|file:.+)$",
        description="`system`, or `file:<path>` for a clock that tests can move.",
    )
    signing_key: str | None = Field(
        None,
        description="Signs calls of apps on official SDKs, and is asked of them; a development server without one asks "
        "for none.",
    )
    signing_key_fallback: str | None = Field(
        None, description="A second key that is accepted while the first one is being changed."
    )
    signing_key_fallback_until: AwareDatetime | None = Field(
        None,
        description="Until when that second key is accepted (`2027-01-31T00:00:00Z`), without a restart; until it is "
        "taken away, if left out.",
    )
    event_keys: str = Field(
        "",
        description="Keys that may send events to the server, separated by commas; without one, any may send them to a "
        "development server.",
    )
    dev: bool = Field(False, description="Be a development server to SDKs: nothing is signed, nothing is checked.")
    allow_private_addresses: bool | None = Field(
        None,
        description="Whether apps and `step.fetch` may have addresses in this server's own network. By default only "
        "where there is no signing key.",
    )
    webhooks: dict[str, Webhook] = Field(
        default_factory=dict,
        description="What is served at `/w/<name>`: for each name its `provider`, `secret` and `name` or `transform`. "
        "In the environment as JSON.",
    )
    task_events: list[str] = Field(
        default_factory=list,
        description="Names or globs (`billing.*`) of Celery tasks whose end is an event: `celery/task.succeeded`, "
        "`.failed`, `.retried` or `.revoked`. In the environment as JSON.",
    )
    encryption_keys: list[str] = Field(
        default_factory=list,
        description="Keys that payloads are encrypted with in the database, each `name:<base64 of 32 bytes>`, "
        "`name:file:<path>` or `name:python:<module.function>`. The first encrypts, all decrypt. In the environment "
        "as JSON.",
    )
    retention: list[KeepRule] = Field(
        default_factory=list,
        description="How long ended runs and events are kept: rules with `event` or `function` (a name or glob), "
        "perhaps `status`, and `keep` (`30 days` or `forever`), of which the first that fits counts; see docs/data.md. "
        "What none fits is kept for ever. In the environment as JSON.",
    )
    subjects: dict[str, list[str]] = Field(
        default_factory=dict,
        description="Where whose data it is stands, to find all of a person's: for each name the paths of it, "
        '`{"email": ["event.data.email", "output.email"]}`; see docs/data.md. In the environment as JSON.',
    )
    subject_key: str | None = Field(
        None,
        min_length=16,
        description="The key of the hashes by which persons' data is found; made of the signing key, if left out.",
    )
    receipt_key: str | None = Field(
        None,
        description="The key that receipts of erasures are signed with: what `inngest-celery receipt key` prints.",
    )
    flower_url: str = Field("", description="Where Flower is; the dashboard links Celery tasks to it.")
    session_idle: float = Field(
        43_200.0, gt=0, description="After how long without a request whoever is logged in has to log in again."
    )
    session_life: float = Field(604_800.0, gt=0, description="After how long they have to in any case.")
    public_url: str | None = Field(
        None,
        pattern="^https?://[^/?#]+/?$",
        description="Where browsers reach the server, if a proxy is in front that does not say so: "
        "`https://jobs.example.com`.",
    )
    oidc_issuer: str | None = Field(
        None,
        pattern="^https?://",
        description="People log in at this OpenID Connect provider, too; exactly as it writes its own name.",
    )
    oidc_client_id: str | None = Field(None, description="What the provider knows this server as.")
    oidc_client_secret: str | None = Field(None, description="The secret that goes with it, if it has one.")
    oidc_scopes: str = Field("openid profile email", description="What is asked of the provider.")
    oidc_role_claim: str | None = Field(
        None,
        description="The claim of the ID token that says somebody's roles or groups, with dots for one in another: "
        "`groups`, `realm_access.roles`. Without it, who is new is a viewer, and admins give roles.",
    )
    oidc_roles: dict[str, Literal["viewer", "operator", "admin"]] = Field(
        default_factory=dict,
        description='What values of that claim mean: `{"jobs-admins": "admin"}`; the highest counts, and whoever has '
        "none is not let in. In the environment as JSON.",
    )
    audit_key: str = Field(
        "",
        description="A secret that the audit log is chained with, the same for all processes; several, separated by "
        "commas, while it is changed: the newest first.",
    )
    masking: list[Rule] = Field(
        default_factory=list,
        description="What of payloads is not to be seen: rules such as "
        '`{"path": "event.data.card.number", "as": "last4"}`, see docs/masking.md. In the environment as JSON.',
    )
    masking_key: str | None = Field(
        None, min_length=16, description="What masking as `hash` is keyed with: any text of 16 characters or more."
    )
    masking_reveal_to_apps: bool = Field(
        False,
        description="Whether whoever shows the signing key, as apps can, sees in the APIs what operators see. What "
        "apps get to execute functions is never masked.",
    )
    secret_key: str = Field(
        "",
        description="What `Secret` values are sealed with: 32 bytes in base64 or hexadecimal. Several, separated by "
        "commas: the first seals, all of them open.",
    )
    pool_size: int = Field(5, ge=1, description="Database connections that one process keeps.")

    @field_validator("dev", mode="before")
    @classmethod
    def _address_is_true(cls, value: object) -> object:
        # To SDKs the variable may also say where the development server is.
        return True if isinstance(value, str) and "://" in value else value

    @field_validator("secret_key")
    @classmethod
    def _are_keys(cls, value: str) -> str:
        read_keys(value)
        return value

    @model_validator(mode="after")
    def _ends_a_fallback(self) -> Settings:
        if self.signing_key_fallback_until is not None and not (self.signing_key and self.signing_key_fallback):
            raise ValueError(
                "inngest_signing_key_fallback_until says when inngest_signing_key_fallback ends, beside which "
                "inngest_signing_key goes on: set both, or take it away"
            )
        return self

    @model_validator(mode="after")
    def _hashes_with_a_key(self) -> Settings:
        if self.masking_key is None and any(rule.as_ == "hash" for rule in self.masking):
            raise ValueError(
                "a rule of inngest_masking masks as hash, and there is no key for it: set inngest_masking_key"
            )
        return self

    @field_validator(
        "webhooks", "oidc_roles", "task_events", "encryption_keys", "retention", "subjects", "masking", mode="before"
    )
    @classmethod
    def _read_json(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value or "{}")
        except ValueError as error:
            raise ValueError(f"is no JSON: {error}") from error

    @field_validator("subjects")
    @classmethod
    def _are_paths(cls, value: dict[str, list[str]]) -> dict[str, list[str]]:
        for name, paths in value.items():
            if not 0 < len(name) <= 64 or not paths:
                raise ValueError(f"{name!r}: a subject has a name of 64 characters at most, and at least one path")
            for path in paths:
                if not _SUBJECT_PATH.fullmatch(path):
                    raise ValueError(
                        f"{name}: {path!r} is no path: write event.data, event.user or output, and fields after dots, "
                        "such as event.data.user.email"
                    )
        return value

    @property
    def lease_ms(self) -> int:
        return round(self.lease * 1000)

    @property
    def endpoint_lease_ms(self) -> int:
        return round(self.endpoint_lease * 1000)

    @property
    def horizon_ms(self) -> int:
        return round(self.horizon * 1000)

    @property
    def slice_ms(self) -> int:
        return round(self.slice * 1000)

    @property
    def session_idle_ms(self) -> int:
        return round(self.session_idle * 1000)

    @property
    def session_life_ms(self) -> int:
        return round(self.session_life * 1000)

    @property
    def signing_keys(self) -> list[str]:
        """The keys that are accepted, the one to sign with first; none for a development server."""
        return [] if self.dev else [key for key in (self.signing_key, self.signing_key_fallback) if key]

    def signing_keys_at(self, now_ms: int) -> list[str]:
        """The keys that are accepted at a time (in milliseconds), the one to sign with first."""
        until = self.signing_key_fallback_until
        keys = self.signing_keys
        return keys if until is None or now_ms < until.timestamp() * 1000 else keys[:1]

    @property
    def audit_keys(self) -> list[str]:
        """The keys of the audit log, the one to use first."""
        return listed(self.audit_key)

    @property
    def secret_keys(self) -> SecretKeys:
        """What opens and seals secrets."""
        return SecretKeys(tuple(read_keys(self.secret_key)))

    @property
    def masking_secret(self) -> bytes | None:
        """The key of hashes that stand for masked values."""
        return None if self.masking_key is None else self.masking_key.encode()

    @property
    def server_kind(self) -> str:
        """What the server tells SDKs that it is."""
        return "cloud" if self.signing_keys else "dev"

    @property
    def subject_secret(self) -> bytes | None:
        """The key of the hashes by which persons' data is found; ``None`` if there is nothing to make it of."""
        secret = self.subject_key or self.signing_key
        return hashlib.sha256(b"inngest subject\0" + secret.encode()).digest() if secret else None

    @property
    def calls_private(self) -> bool:
        """Whether addresses in this server's own network may be called."""
        allowed = self.allow_private_addresses
        return not self.signing_keys if allowed is None else allowed

    @property
    def hint_timeout_ms(self) -> int:
        return round(self.hint_timeout * 1000)


# What gives a database where neither the app nor the environment names one: Django's, in a Django project.
database_defaults: list[Callable[[], str]] = []


def settings_of(app: Celery) -> Settings:
    """Read the settings of a Celery app.

    Raises:
        SettingsError: a name that starts with ``inngest_`` is unknown, or a value does not fit.

    Example:
        >>> app = Celery(); app.conf.inngest_horizon = 30
        >>> settings_of(app).horizon
        30.0
    """
    given: dict[str, object] = {}
    for field in Settings.model_fields:
        value = os.environ.get((PREFIX + field).upper())
        if value is not None:
            given[field] = value
    given.update({name: app.conf[PREFIX + name] for name in _names_in(app)})
    if database_defaults and not given.get("database_url"):
        given["database_url"] = database_defaults[-1]()
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        raise SettingsError(_explain(error)) from error
    if settings.subjects:
        require_subject_secret(settings)
    visibility = (app.conf.broker_transport_options or {}).get("visibility_timeout")
    if visibility and settings.horizon > visibility / 3:
        # Redis hands a message that waits for its ETA to another worker once this time is over.
        return settings.model_copy(update={"horizon": visibility / 3})
    return settings


def listed(text: str) -> list[str]:
    """Read what is separated by commas.

    Example:
        >>> listed(" a, b,")
        ['a', 'b']
    """
    return [part.strip() for part in text.split(",") if part.strip()]


def require_subject_secret(settings: Settings) -> bytes:
    """Give the key of the hashes by which persons' data is found.

    Raises:
        SettingsError: there is none (code ``subject_key_missing``).
    """
    if settings.subject_secret is None:
        raise SettingsError(
            "Hashes of whose data it is need a key, so that nobody can guess it from them: set inngest_subject_key to "
            "a long random text, such as that of `openssl rand -hex 32`, and keep it.",
            code="subject_key_missing",
        )
    return settings.subject_secret


def _names_in(app: Celery) -> set[str]:
    """Give the names of our settings in an app's configuration, which spells them its own way under a namespace."""
    spelled = (PREFIX, f"{app.namespace}_{PREFIX}".upper()) if app.namespace else (PREFIX,)
    keys: list[str] = list(dict(app.conf))
    return {key.removeprefix(prefix).lower() for key in keys for prefix in spelled if key.startswith(prefix)}


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            known = ", ".join(PREFIX + field for field in sorted(Settings.model_fields))
            lines.append(f"{PREFIX}{name} is not a setting of inngest_celery. Known: {known}")
        elif not name:
            lines.append(problem["msg"])
        else:
            shown = "" if _holds_secrets(str(problem["loc"][0])) else f" (it is {problem['input']!r})"
            lines.append(f"{PREFIX}{name}: {problem['msg']}{shown}")
    return "; ".join(lines)


def _holds_secrets(field: str) -> bool:
    return field.endswith(("_key", "_key_fallback", "_keys", "_secret")) or field == "webhooks"
