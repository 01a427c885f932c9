"""Routes that change the catalogue and the version."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

from tt_hydra.errors import BundleError, NoVersionError
from tt_hydra.serve.app.asking import items
from tt_hydra.serve.app.errors import JSON, Refused
from tt_hydra.serve.app.models import DeleteAnswer, DeleteBody, ItemAnswer, Marked, UpsertAnswer, UpsertBody
from tt_hydra.serve.app.naming import names
from tt_hydra.serve.app.openapi import takes
from tt_hydra.serve.app.reading import at_most, read
from tt_hydra.serve.app.service import Service
from tt_hydra.serve.asking import Mark

RETRY = {"Retry-After": "5"}
T = TypeVar("T")
logger = logging.getLogger(__name__)


def routes(service: Service) -> APIRouter:
    """``/v1/items`` and the activation of a version."""
    router, limits, engine = APIRouter(tags=["write"]), service.options.limits, service.engine

    @router.put("/v1/items", responses={200: {"model": UpsertAnswer}}, **takes(UpsertBody))
    async def upsert(request: Request) -> Response:
        """Inserts or replaces items: embedded, on the disk and found by the next search when this answers."""
        service.require_token(request)
        async with asyncio.timeout(service.options.timeout_s):
            body = await read(request, UpsertBody, limits)
            mark = await _written(service, engine.upsert, items(body.items, limits))
        return _answer(mark, upserted=len(body.items), sequence=mark.sequence)

    @router.delete("/v1/items", responses={200: {"model": DeleteAnswer}}, **takes(DeleteBody))
    async def delete(request: Request) -> Response:
        """Removes items: no later search finds them."""
        service.require_token(request)
        async with asyncio.timeout(service.options.timeout_s):
            body = await read(request, DeleteBody, limits)
            at_most(body.ids, limits.ids, "ids")
            identifiers = list(dict.fromkeys(map(str, body.ids)))
            mark, unknown = await _written(service, engine.delete, identifiers)
        return _answer(mark, deleted=len(identifiers) - len(unknown), unknown=unknown, sequence=mark.sequence)

    @router.get("/v1/items/{identifier:path}", responses={200: {"model": ItemAnswer}}, tags=["search"])
    async def item(request: Request, identifier: str) -> Response:
        """An item with all its columns."""
        service.require_reader(request)
        mark, found = await service.looked_up(engine.item, identifier)
        if found is None:
            raise Refused(404, f"there is no item {identifier!r}")
        return _answer(mark, item=found)

    @router.post("/v1/versions/{number}/activate", responses={200: {"model": Marked}})
    async def activate(request: Request, number: int) -> Response:
        """Makes a version current; requests that are being answered stay with the one that they began with.

        It answers when the version is loaded and warm, which may take longer than the service allows for all other requests.
        """
        service.require_token(request)
        try:
            return _answer(await service.aside(engine.activate, number))
        except NoVersionError as error:
            raise Refused(404, f"there is no version {number}; GET /v1/versions lists those that there are") from error

    return router


async def _written(service: Service, write: Callable[..., T], given: Sequence[Any]) -> T:
    try:
        return await service.aside(write, given)
    except (BundleError, OSError) as error:
        logger.error("a write failed: %s", error)
        raise Refused(503, "the catalogue cannot be written now: send it again later, the service's log says why", None, RETRY) from error


def _answer(mark: Mark, **more: Any) -> Response:
    content = orjson.dumps({**mark.to_json(), **more}, default=str, option=orjson.OPT_NON_STR_KEYS)
    return Response(content, media_type=JSON, headers=names(mark))
