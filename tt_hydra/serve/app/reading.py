"""From the bytes of a request to a checked body."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, TypeVar

import orjson
from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from tt_hydra.serve.app.errors import Refused, invalid
from tt_hydra.serve.settings import Limits

Body = TypeVar("Body", bound=BaseModel)
DEEPEST = 16
"""Lists and mappings in one another: no route takes half as many."""


async def read(request: Request, model: type[Body], limits: Limits) -> Body:
    """The body of a request.

    Raises:
        Refused: it is too large, no JSON, or not what the route takes.
    """
    content = await _content(request, limits.body_bytes)
    body = parsed(content)
    if not _small(content, limits):
        _check_sizes(body, limits)
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise invalid(error, body) from None


def parsed(content: bytes) -> Any:
    """The JSON value that bytes hold; NaN and Infinity are no JSON.

    Raises:
        Refused: they hold none.
    """
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise Refused(400, f"the body is no JSON: {error}") from None


async def _content(request: Request, limit: int) -> bytes:
    told = request.headers.get("content-length", "0")
    if told.isdigit() and int(told) > limit:
        raise _too_long(limit)
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise _too_long(limit)
            parts.append(part)
    except asyncio.CancelledError:  # by the time that the route allows: spent on waiting for the client
        raise Refused(408, "the body did not come in time: send it at once") from None
    except ClientDisconnect:
        raise Refused(400, "the connection was closed before the body was complete") from None
    return b"".join(parts)


def _too_long(limit: int) -> Refused:
    return Refused(413, f"the body is larger than the {limit} bytes that are taken: send several requests")


def _small(content: bytes, limits: Limits) -> bool:
    """Whether a body is too short for a text, a mapping or a depth beyond the limits; most are, and need not be walked through."""
    opened = content.count(b"{") + content.count(b"[")
    return len(content) <= limits.text_length and content.count(b":") <= limits.columns and opened <= DEEPEST


def _check_sizes(value: Any, limits: Limits, path: tuple[str | int, ...] = ()) -> None:
    """Refuses strings, lists and mappings larger or deeper than any route takes, wherever they stand."""
    if isinstance(value, str):
        if len(value) > limits.text_length:
            raise _too_large(f"a text has {len(value)} characters, {limits.text_length} are taken", path)
    elif isinstance(value, (dict, list)):
        if len(path) == DEEPEST:
            raise _too_large(f"values stand more than {DEEPEST} deep in one another", path)
        if isinstance(value, dict):
            if len(value) > limits.columns:
                raise _too_large(f"{len(value)} keys are given, {limits.columns} are taken", path)
            for key in value:
                _check_sizes(key, limits, path)
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(each, (dict, list)) or (isinstance(each, str) and len(each) > limits.text_length):
                _check_sizes(each, limits, (*path, key))


def _too_large(reason: str, path: Sequence[str | int]) -> Refused:
    return Refused(422, reason, ".".join(map(str, path)) or None)


def at_most(values: Sequence[object] | None, limit: int, place: str) -> None:
    """Refuses a list that is too long."""
    if values is not None and len(values) > limit:
        raise Refused(422, f"{len(values)} are given, {limit} are taken in one request", place)
