"""Routes that say what is served and how it does, and the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

import tt_hydra.serve
from tt_hydra.serve.app.errors import JSON, Refused
from tt_hydra.serve.app.naming import names
from tt_hydra.serve.app.service import Service
from tt_hydra.serve.asking import Mark
from tt_hydra.serve.describe import schema, versions

PAGE = Path(tt_hydra.serve.__file__).with_name("page")
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".png": "image/png"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


def routes(service: Service) -> APIRouter:
    """What is served, whether it is well, what it has seen, and the page."""
    router, engine = APIRouter(tags=["about"]), service.engine

    @router.get("/v1/versions")
    async def all_versions(request: Request) -> Response:
        """Versions that the registry holds, and which is current."""
        service.require_reader(request)
        return _json(await service.looked_up(versions, engine.registry))

    @router.get("/v1/schema")
    async def taken(request: Request) -> Response:
        """What queries and items of the served version consist of."""
        service.require_reader(request)
        served = engine.served
        return _json(await service.looked_up(schema, served, service.options.limits), mark=served.state.mark)

    @router.get("/v1/monitor")
    async def monitor(request: Request) -> Response:
        """What was seen of the traffic: latency, recall, drift, staleness."""
        service.require_reader(request)
        return _json({} if engine.observer is None else await service.looked_up(engine.observer.state))

    @router.get("/metrics")
    async def metrics(request: Request) -> Response:
        """The same for Prometheus."""
        service.require_reader(request)
        if service.metrics is None:
            raise Refused(404, "this service was started without metrics")
        return Response(await service.looked_up(service.metrics), media_type=PROMETHEUS)

    return router


def probes(service: Service) -> APIRouter:
    """Whether the process lives, and whether requests should come to it."""
    router, engine = APIRouter(tags=["about"]), service.engine

    @router.get("/healthz")
    async def healthz() -> Response:
        """The process answers."""
        return _json({"status": "ok"})

    @router.get("/readyz", responses={503: {"description": "not warm yet, or about to end"}})
    async def readyz() -> Response:
        """Requests are welcome: it has answered real queries, and is not about to end."""
        said = "ready" if service.ready else "draining" if service.draining else "warming up"
        mark = engine.served.state.mark
        return _json({"status": said, **mark.to_json()}, 200 if service.ready else 503, mark)

    return router


def page() -> APIRouter:
    """The page, its files read once."""
    router = APIRouter(include_in_schema=False)
    files = {path.name: path.read_bytes() for path in PAGE.glob("*") if path.suffix in TYPES} if PAGE.is_dir() else {}

    def file(name: str) -> Response:
        if name not in files:
            raise Refused(404, f"the page has no file {name!r}")
        return Response(files[name], media_type=TYPES[Path(name).suffix], headers=PAGE_HEADERS)

    @router.get("/")
    async def index() -> Response:
        return file("index.html")

    @router.get("/static/{name}")
    async def static(name: str) -> Response:
        return file(name)

    return router


def _json(content: Any, status: int = 200, mark: Mark | None = None) -> Response:
    text = orjson.dumps(content, default=str, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY)
    return Response(text, status, headers=None if mark is None else names(mark), media_type=JSON)
