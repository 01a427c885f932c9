"""Errors as answers: a status, a reason, the field it is about. Never a stack trace."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from tt_hydra.errors import BundleError, TTHydraError
from tt_hydra.serve.batcher import Busy, Late

JSON = "application/json"
SHOWN = 500

logger = logging.getLogger(__name__)


class Refused(TTHydraError):
    """A request that is not answered.

    Args:
        status: of HTTP.
        reason: what is wrong and what to do.
        field: what it is about.
        headers: of the answer.
    """

    def __init__(self, status: int, reason: str, field: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.field, self.headers = status, reason, field, headers


def invalid(error: ValidationError | RequestValidationError, body: Any) -> Refused:
    """The first mistake that a model found, with its place in the request."""
    first = error.errors()[0]
    place = _place(first["loc"], body) if first["type"] != "missing" else ".".join(map(str, first["loc"]))
    return Refused(422, str(first["msg"]), place or None)


def _place(location: Sequence[int | str], body: Any) -> str:
    """The path as the body has it: names of alternatives that the model adds are left out."""
    parts: list[str] = []
    for part in location:
        inside = (isinstance(body, dict) and part in body) or (isinstance(body, list) and isinstance(part, int) and part < len(body))
        if inside:
            body = body[part]
            parts.append(str(part))
    return ".".join(parts)


def answer(status: int, reason: str, field: str | None = None, headers: Mapping[str, str] | None = None) -> Response:
    """An answer that says what is wrong."""
    fault = {"reason": reason[:SHOWN]} | ({} if field is None else {"field": field})
    return Response(orjson.dumps({"error": fault}), status, headers=dict(headers or {}), media_type=JSON)


def of_exception(error: BaseException) -> Response:
    """The answer to a request that failed."""
    refused = error if isinstance(error, Refused) else _refused(error)
    return answer(refused.status, refused.reason, refused.field, refused.headers)


def _refused(error: BaseException) -> Refused:
    place = getattr(error, "place", None)
    match error:
        case Busy():
            found = Refused(429, str(error), headers={"Retry-After": "1"})
        case Late() | TimeoutError():
            found = Refused(504, "the request took longer than this service allows: ask for less, or later")
        case BundleError():
            found = Refused(409, str(error), place)
        case TTHydraError():
            found = Refused(422, str(error), place)
        case _:
            logger.error("a request failed", exc_info=error)
            found = Refused(500, "the service failed at this request; its log says more")
    return found


def install(app: FastAPI) -> None:
    """Has every error answered by this module."""

    async def ours(request: Request, error: Exception) -> Response:
        return of_exception(error)

    async def of_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        reason = {404: f"there is no {request.url.path}", 405: f"{request.method} is not taken here"}.get(
            error.status_code, str(error.detail)
        )
        return answer(error.status_code, reason, headers=error.headers)

    async def of_parameters(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        return answer(422, str(first["msg"]), ".".join(map(str, first["loc"][1:])) or None)

    app.add_exception_handler(TTHydraError, ours)
    app.add_exception_handler(TimeoutError, ours)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(RequestValidationError, of_parameters)
    app.add_exception_handler(Exception, ours)
