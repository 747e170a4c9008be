"""Registering an app: what it says of itself and its functions is checked whole, then stored in one transaction."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from inngest_celery import ids
from inngest_celery.engine import policies
from inngest_celery.engine.spec import read_spec
from inngest_celery.server import addresses, configs
from inngest_celery.server.errors import ApiError, first_problem
from inngest_celery.server.state import Server
from inngest_celery.store import apps, functions, waits
from inngest_celery.store.apps import AppRow
from inngest_celery.store.conflicts import retried
from inngest_celery.store.functions import CALL_TASK, FunctionRow
from inngest_celery.worker.flow_clock import tell_limits
from inngest_celery.worker.registry import checksum_of, save

# A release of the TypeScript SDK range that loses steps; the official server refuses it too.
_DENIED_JS = ((3, 22, 0), (3, 53, 1))


def _names(*names: str) -> AliasChoices:
    return AliasChoices(*names)


class Registration(BaseModel):
    """What an app sends. SDKs do not agree on how the names are written."""

    model_config = ConfigDict(extra="ignore")

    url: str = ""
    app: str = Field("", validation_alias=_names("appName", "appname", "app_name", "app_id", "appId"))
    app_version: str | None = Field(None, validation_alias=_names("appVersion", "appversion", "app_version"))
    deploy_type: str = Field("ping", validation_alias=_names("deployType", "deploytype", "deploy_type"))
    sdk: str = ""
    framework: str | None = None
    platform: str | None = None
    headers: dict[str, Any] = Field(default_factory=dict)
    functions: list[dict[str, Any]] = Field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Registered:
    """What became of a registration.

    Attributes:
        app_id, sync_id: UUIDs.
        modified: whether anything was changed by it.
    """

    app_id: str
    sync_id: str
    modified: bool


def read(body: object) -> Registration:
    """Read a registration.

    Raises:
        ApiError: 400.
    """
    try:
        registration = Registration.model_validate(body)
    except ValidationError as error:
        raise ApiError(400, first_problem(error), code="config_invalid") from error
    if not registration.app.strip():
        raise ApiError(400, "App ID required: give the client an app id.", code="config_invalid")
    if len(registration.app) > 200:
        raise ApiError(400, "The app's id is longer than 200 characters.", code="config_invalid")
    _refuse_denied(registration.sdk)
    return registration


def register(
    server: Server, registration: Registration, *, method: str = apps.SERVE, discovered: bool = False
) -> Registered:
    """Store an app and its functions.

    Functions that the app no longer has start no more runs; those that they have go on.

    Args:
        server: where.
        registration: what the app says.
        method: how it is reached.
        discovered: whether it was found, and not given.

    Raises:
        ApiError: a function cannot be used (400); nothing was stored but that, with the app.
    """
    url = addresses.normalised(registration.url) if registration.url else ""
    now = server.runtime.clock.now()
    app = AppRow(
        id=registration.app,
        url=url,
        method=method,
        sdk=registration.sdk[:64],
        checksum=_checksum(registration, url),
        created_at=now,
        synced_at=now,
        framework=_short(registration.framework),
        platform=_short(registration.platform or registration.headers.get("platform")),
        version=registration.app_version,
        discovered=discovered,
    )
    rows, problems = _rows(server, app, registration.functions, now)
    if problems:
        _note_error(server, app, problems)
        raise ApiError(
            400, "At least one function is invalid: " + problems[0]["message"], code="config_invalid",
            data={"errors": problems},
        )  # fmt: skip
    _require_redis(server, rows)
    modified = _store(server, app, rows)
    if modified:
        waits.prepare_topics(server.runtime.database, configs.cancelling_events(rows))
        tell_limits(server.runtime)
    sync_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"sync:{app.id}:{app.checksum}"))
    return Registered(ids.app_uuid(app.id), sync_id, modified)


def _require_redis(server: Server, rows: Sequence[FunctionRow]) -> None:
    limited = [row.id for row in rows if policies.needs_redis(read_spec(row.config))]
    if limited and server.runtime.redis_url is None:
        raise ApiError(
            400,
            f"{limited[0]} has limits, which are kept in Redis, and this server has none. Set inngest_redis_url there.",
            code="redis_missing",
        )


@retried
def _store(server: Server, app: AppRow, rows: Sequence[FunctionRow]) -> bool:
    """Store what has changed; false if nothing has."""
    runtime = server.runtime
    with runtime.database.transaction() as connection:
        before = apps.lock(connection, replace(app, checksum=""))
        same = before.checksum == app.checksum and before.error is None and before.archived_at is None
        if same and before.method == app.method:
            apps.save(connection, replace(before, synced_at=app.synced_at))
            return False
        stored = {row.id: row for row in functions.all_of(connection)}
        for row in rows:
            taken = stored.get(row.id)
            if taken is not None and taken.archived_at is None and not _is_ours(taken, app):
                raise ApiError(
                    400,
                    f"At least one function is invalid: there is a function {row.id} of another app or in Python code "
                    f"({taken.app_id}) already. Give one of them another id.",
                    code="config_invalid",
                )
            save(connection, runtime, row, taken)
        kept = {row.id for row in rows}
        for row in stored.values():
            if _is_ours(row, app) and row.id not in kept:
                functions.archive(connection, row.id, app.synced_at)
        discovered = app.discovered and (before.discovered or not before.checksum)
        apps.save(connection, replace(app, created_at=before.created_at, discovered=discovered))
    return True


@retried
def _note_error(server: Server, app: AppRow, problems: Sequence[dict[str, str]]) -> None:
    with server.runtime.database.transaction() as connection:
        before = apps.lock(connection, replace(app, checksum=""))
        error = "; ".join(problem["message"] for problem in problems)
        apps.save(connection, replace(before, url=app.url, error=error, synced_at=app.synced_at, archived_at=None))


@retried
def remove(server: Server, app_id: str) -> bool:
    """Archive an app with its functions; false if there is none."""
    now = server.runtime.clock.now()
    with server.runtime.database.transaction() as connection:
        found = apps.get(connection, app_id)
        if found is None or found.archived_at is not None:
            return False
        for row in functions.of_app(connection, app_id):
            if row.task_name == CALL_TASK:
                functions.archive(connection, row.id, now)
        apps.save(connection, replace(found, archived_at=now, checksum=""))
    return True


def _rows(
    server: Server, app: AppRow, given: Sequence[dict[str, Any]], now: int
) -> tuple[list[FunctionRow], list[dict[str, str]]]:
    """Make the rows of an app's functions, or say what is wrong with them."""
    rows: dict[str, FunctionRow] = {}
    problems: list[dict[str, str]] = []
    for each in given:
        try:
            wire = configs.read(each, app.id, app.url)
        except configs.ConfigError as error:
            problems += [{"code": code, "message": message} for code, message in error.problems]
            continue
        if wire["id"] in rows:
            problems.append({"code": "config_invalid", "message": f"two functions have the id {wire['id']}"})
        config = json.dumps(wire, sort_keys=True, separators=(",", ":"))
        queue = server.runtime.route_queue
        rows[wire["id"]] = FunctionRow(
            id=wire["id"],
            app_id=app.id,
            config=config,
            checksum=checksum_of(config, queue),
            version=1,
            task_name=CALL_TASK,
            queue=queue,
            archived_at=None,
            updated_at=now,
        )
    return list(rows.values()), problems


def _is_ours(row: FunctionRow, app: AppRow) -> bool:
    return row.app_id == app.id and row.task_name == CALL_TASK


def _checksum(registration: Registration, url: str) -> str:
    said = registration.model_dump(mode="json") | {"url": url}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _refuse_denied(sdk: str) -> None:
    language, _, version = sdk.removeprefix("inngest-").partition(":v")
    numbers = tuple(int(part) for part in version.split("-")[0].split(".") if part.isdigit())
    if language == "js" and _DENIED_JS[0] <= numbers <= _DENIED_JS[1]:
        raise ApiError(
            400,
            f"Version {version} of the TypeScript SDK has a known fault and is refused; upgrade the package inngest.",
            code="sdk_version_denied",
        )


def _short(text: object) -> str | None:
    return str(text)[:64] if text else None
