"""The application: all routes over one service."""

from __future__ import annotations

from fastapi import FastAPI

import tt_hydra
from tt_hydra.serve.app import about, errors, openapi, searching, writing
from tt_hydra.serve.app.service import Service


def create_app(service: Service) -> FastAPI:
    """The routes of a service. Its threads are the service's own: closing it is left to whoever made it."""
    app = FastAPI(title="tt_hydra", version=tt_hydra.__version__, docs_url=None, redoc_url=None, redirect_slashes=False)
    errors.install(app)
    for router in (searching.routes(service), writing.routes(service), about.probes(service), about.routes(service), about.page()):
        app.include_router(router)
    openapi.describe(app)
    return app
