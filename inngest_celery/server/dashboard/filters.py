"""Which runs a page shows, as its address says it."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query
from pydantic import BaseModel, ConfigDict, field_validator

from inngest_celery.server.errors import ApiError
from inngest_celery.server.rendering import address
from inngest_celery.server.state import Server
from inngest_celery.server.times import read_instant
from inngest_celery.server.viewing import eyes_of
from inngest_celery.store.listing import RunFilter
from inngest_celery.store.rows import RunStatus
from inngest_celery.worker.control import FunctionNotRegisteredError
from inngest_celery.worker.selecting import AppNotRegisteredError, Selection, function_ids

Status = Literal["QUEUED", "RUNNING", "COMPLETED", "FAILED", "CANCELLED", "SKIPPED"]
STATUSES: tuple[Status, ...] = ("QUEUED", "RUNNING", "COMPLETED", "FAILED", "CANCELLED", "SKIPPED")
LAST = {"15m": 15 * 60_000, "1h": 3_600_000, "24h": 86_400_000, "7d": 7 * 86_400_000, "30d": 30 * 86_400_000}


class RunsFilter(BaseModel):
    """What a page of runs is asked for.

    Attributes:
        last: how far back, one of ``LAST``; instead of ``since``.
        since, until: RFC 3339.
        where: an expression over ``event``, ``output`` and ``error``.
    """

    model_config = ConfigDict(extra="ignore")

    status: list[Status] = []
    function: str = ""
    app: str = ""
    event: str = ""
    last: str = ""
    since: str = ""
    until: str = ""
    where: str = ""

    @field_validator("status", mode="before")
    @classmethod
    def _without_blanks(cls, value: object) -> object:
        return [each for each in value if each] if isinstance(value, list) else value

    def address(self, path: str = "/runs", **more: object) -> str:
        """Give the address of a page about the same runs."""
        return address(path, self.model_dump() | more)

    @property
    def given(self) -> bool:
        """Whether it leaves anything out."""
        return any(self.model_dump().values())

    def selection(self, server: Server) -> Selection:
        """Give what it means.

        Raises:
            ApiError: there is no such function, app or time.
        """
        try:
            functions = function_ids(
                server.runtime,
                [self.function] if self.function else [],
                [self.app] if self.app else [],
            )
        except (FunctionNotRegisteredError, AppNotRegisteredError) as error:
            raise ApiError(404, str(error), code=error.code) from error
        wanted = RunFilter(
            since=self._since(server),
            until=read_instant(self.until, "until"),
            statuses=[RunStatus.SCHEDULED if each == "QUEUED" else RunStatus[each] for each in self.status],
            function_ids=functions,
            event_names=[self.event] if self.event else (),
        )
        return Selection(wanted, self.where, eyes_of(server))

    def _since(self, server: Server) -> int | None:
        if not self.last:
            return read_instant(self.since, "since")
        if self.last not in LAST:
            raise ApiError(400, f"last: {self.last!r} is none of {', '.join(LAST)}", code="invalid_field_format")
        return server.runtime.clock.now() - LAST[self.last]


Filter = Annotated[RunsFilter, Query()]
