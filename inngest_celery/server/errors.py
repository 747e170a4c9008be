"""Errors in the form that clients of the official server know."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ValidationError
from redis import RedisError
from sqlalchemy.exc import DataError, DBAPIError
from starlette.exceptions import HTTPException

from inngest_celery.store.database import DatabaseError

logger = logging.getLogger(__name__)


class Refusal(BaseModel):
    """Why a request was refused."""

    error: str
    status: int
    code: str
    data: Any = None


REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Refusal, "description": "The request is not understood."},
    401: {"model": Refusal, "description": "The signing key, token or session is missing or wrong."},
    403: {"model": Refusal, "description": "It is not enough for this, or a browser asks for another page."},
    404: {"model": Refusal, "description": "There is no such thing."},
    413: {"model": Refusal, "description": "The request is too large."},
    503: {"model": Refusal, "description": "The database does not answer."},
}


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


_UNAVAILABLE = ApiError(
    503, "The server's database or Redis does not answer. Nothing is half done; try again.", code="unavailable"
)


def install(app: FastAPI) -> None:
    """Let an application answer with these errors."""

    @app.exception_handler(ApiError)
    def refuse(request: Request, error: ApiError) -> Response:
        return formed(request, error)

    @app.exception_handler(DatabaseError)
    @app.exception_handler(DBAPIError)
    @app.exception_handler(RedisError)
    def refuse_for_now(request: Request, error: Exception) -> Response:
        logger.error("%s %s failed: %s", request.method, request.url.path, error, extra={"action": "request_failed"})
        return formed(request, _UNAVAILABLE)

    @app.exception_handler(DataError)
    @app.exception_handler(UnicodeEncodeError)
    @app.exception_handler(OverflowError)
    def refuse_value(request: Request, error: Exception) -> Response:
        return formed(request, _invalid_value(error))

    @app.exception_handler(RequestValidationError)
    def refuse_input(request: Request, error: RequestValidationError) -> Response:
        return formed(request, ApiError(400, first_problem(error)))

    @app.exception_handler(HTTPException)
    def refuse_request(request: Request, error: HTTPException) -> Response:
        code = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}.get(error.status_code, "invalid_request")
        response = formed(request, ApiError(error.status_code, str(error.detail), code=code))
        response.headers.update(error.headers or {})
        return response


def refusal_of(error: BaseException | None) -> ApiError | None:
    """Give what is told of an error where no handler of the application's does it; ``None`` for one of our own faults.

    Args:
        error: what was raised while a request was answered.
    """
    if isinstance(error, ApiError):
        return error
    if isinstance(error, DataError | UnicodeEncodeError | OverflowError):
        return _invalid_value(error)
    return _UNAVAILABLE if isinstance(error, DatabaseError | DBAPIError | RedisError) else None


def _invalid_value(error: Exception) -> ApiError:
    """Refuse what no column can hold. The transaction that came upon it has written nothing."""
    reason = "half of a surrogate pair" if isinstance(error, UnicodeEncodeError) else "NUL, or a number too large"
    return ApiError(400, f"a value cannot be stored: it has {reason} in it", code="value_invalid")


def first_problem(error: ValidationError | RequestValidationError, whole: str = "") -> str:
    """Say what is wrong first of what a request gives, and where.

    Args:
        error: what pydantic has found.
        whole: what to call it where all of it is wrong.
    """
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"]) or whole
    return f"{place}: {first['msg']}" if place else str(first["msg"])


def formed(request: Request, error: ApiError) -> Response:
    """Give an error in the form of the interface that was asked."""
    as_page: Callable[[Request, ApiError], Response] | None = getattr(request.state, "as_page", None)
    if as_page is not None:
        return as_page(request, error)
    if request.url.path.startswith(("/v2/", "/api/v2/")):
        return JSONResponse({"errors": [{"code": error.code, "message": str(error)}]}, error.status)
    return error.to_response()
