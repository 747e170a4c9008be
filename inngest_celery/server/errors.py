"""Errors in the form that clients of the official server know."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from redis import RedisError
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException

from inngest_celery.store.database import DatabaseError

logger = logging.getLogger(__name__)


class ApiError(Exception):
    """A request that is refused, and what its sender is told.

    Args:
        status: the HTTP status.
        message: what happened, and what to do.
        code: stable.
        data: more about it.
    """

    def __init__(
        self, status: int, message: str, *, code: str = "invalid_request", data: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.data = status, code, data

    def to_response(self) -> JSONResponse:
        body: dict[str, object] = {"error": str(self), "status": self.status, "code": self.code}
        if self.data is not None:
            body["data"] = self.data
        return JSONResponse(body, self.status)


def install(app: FastAPI) -> None:
    """Let an application answer with these errors."""

    @app.exception_handler(ApiError)
    def refuse(request: Request, error: ApiError) -> JSONResponse:
        return _formed(request, error)

    @app.exception_handler(DatabaseError)
    @app.exception_handler(DBAPIError)
    @app.exception_handler(RedisError)
    def refuse_for_now(request: Request, error: Exception) -> JSONResponse:
        logger.error("%s %s failed: %s", request.method, request.url.path, error, extra={"action": "request_failed"})
        message = "The server's database or Redis does not answer. Nothing is half done; try again."
        return _formed(request, ApiError(503, message, code="unavailable"))

    @app.exception_handler(RequestValidationError)
    def refuse_input(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return _formed(request, ApiError(400, f"{place}: {first['msg']}"))

    @app.exception_handler(HTTPException)
    def refuse_request(request: Request, error: HTTPException) -> JSONResponse:
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
        response = _formed(request, ApiError(error.status_code, str(error.detail), code=code))
        response.headers.update(error.headers or {})
        return response


def _formed(request: Request, error: ApiError) -> JSONResponse:
    """Give an error in the form of the interface that was asked."""
    if request.url.path.startswith(("/v2/", "/api/v2/")):
        return JSONResponse({"errors": [{"code": error.code, "message": str(error)}]}, error.status)
    return error.to_response()
