"""Routes that answer queries."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tt_hydra.contracts import FloatArray
from tt_hydra.serve.app.asking import ask, items, queries
from tt_hydra.serve.app.errors import JSON, Refused, of_exception
from tt_hydra.serve.app.models import EmbedAnswer, EmbedBody, SearchAnswer, SearchBody
from tt_hydra.serve.app.naming import names
from tt_hydra.serve.app.openapi import SEARCH, takes
from tt_hydra.serve.app.reading import read
from tt_hydra.serve.app.service import Service
from tt_hydra.serve.asking import Mark


def routes(service: Service) -> APIRouter:
    """``/v1/search`` and ``/v1/embed``."""
    router, limits = APIRouter(tags=["search"]), service.options.limits
    engine, timeout = service.engine, service.options.timeout_s

    @router.post(SEARCH, responses={200: {"model": SearchAnswer}}, **takes(SearchBody))
    async def search(request: Request) -> Response:
        """The best items of each query, best first."""
        return await _search(service, request)

    @router.post("/v1/embed", responses={200: {"model": EmbedAnswer}}, **takes(EmbedBody))
    async def embed(request: Request) -> Response:
        """Vectors of queries or of items, as this version's towers make them."""
        service.require_reader(request)
        async with asyncio.timeout(timeout):
            body = await read(request, EmbedBody, limits)
            if (body.queries is None) == (body.items is None):
                raise Refused(422, "give queries or items", "queries")
            if body.queries is not None:
                asked = queries(body.queries, limits, engine.served.version.manifest.dim)
                mark, vectors = await service.aside(engine.embed, asked)
            else:
                mark, vectors = await service.aside(engine.embed_items, items(body.items or (), limits))
        return Response(_vectors(mark, vectors), media_type=JSON, headers=names(mark))

    return router


class Quick:
    """An application before which searches are answered: the layers of the framework take as long as all the rest of HTTP.

    Args:
        app: takes all other requests; it describes this one.
        service: what answers.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http" or scope["path"] != SEARCH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            response = await _search(self._service, Request(scope, receive))
        except Exception as error:
            response = of_exception(error)
            response.headers.update(names(self._service.engine.served.state.mark))
        await response(scope, receive, send)


async def _search(service: Service, request: Request) -> Response:
    service.require_reader(request)
    limits = service.options.limits
    async with asyncio.timeout(service.options.timeout_s):
        body = await read(request, SearchBody, limits)
        answer = await service.search(ask(body, limits, service.engine.served.version.manifest.dim))
    return Response(answer.body, media_type=JSON, headers={"Server-Timing": _timing(answer.seconds)})


def _timing(seconds: Mapping[str, float]) -> str:
    """Milliseconds by phase, as browsers show them."""
    return ", ".join(f"{phase};dur={1e3 * value:.3f}" for phase, value in seconds.items())


def _vectors(mark: Mark, vectors: FloatArray) -> bytes:
    content: dict[str, Any] = {**mark.to_json(), "vectors": vectors}
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
