"""The description of the service: bodies are read by the routes themselves, so FastAPI is told what they take."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

import tt_hydra
from tt_hydra.serve.app import models, naming

TEMPLATE = "#/components/schemas/{model}"
BODIES: tuple[type[BaseModel], ...] = (models.SearchBody, models.EmbedBody, models.UpsertBody, models.DeleteBody, models.ErrorAnswer)
SEARCH = "/v1/search"
NAMES = {
    naming.MODEL: "fingerprint of the model that is served",
    naming.INDEX: "its version and the last change of the catalogue: what index is in the body of other answers",
}
"""Headers of every answer but that of a search, whose body says the same."""
ERRORS = {
    "4XX": "refused: with the reason, and the field that it is about",
    "5XX": "not answered: not ready, too late, or a fault of the service",
}


def takes(model: type[BaseModel]) -> dict[str, Any]:
    """What a route's description says of its body."""
    schema = {"$ref": TEMPLATE.format(model=model.__name__)}
    return {"openapi_extra": {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}}


def describe(app: FastAPI) -> None:
    """Has ``/openapi.json`` name the bodies, the token and the form of errors."""

    def description() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title="tt_hydra", version=tt_hydra.__version__, summary="Two-tower retrieval", routes=app.routes)
            _, definitions = models_json_schema([(model, "validation") for model in BODIES], ref_template=TEMPLATE)
            made.setdefault("components", {}).setdefault("schemas", {}).update(definitions["$defs"])
            headers = {name: {"description": told, "schema": {"type": "string"}} for name, told in NAMES.items()}
            made["components"]["headers"] = headers
            made["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            for path, operations in made["paths"].items():
                for method, operation in operations.items():
                    operation["responses"] = _named(path, _with_errors(operation["responses"]))
                    if method in ("put", "delete") or path.endswith("/activate"):
                        operation["security"] = [{"token": []}]
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = description  # type: ignore[method-assign]  # FastAPI's own way


def _with_errors(responses: dict[str, Any]) -> dict[str, Any]:
    """The answers of a route and those that every route may give, instead of what FastAPI supposes."""
    content = {"application/json": {"schema": {"$ref": TEMPLATE.format(model=models.ErrorAnswer.__name__)}}}
    kept = {status: answer for status, answer in responses.items() if status != "422"}
    return kept | {status: {"description": told, "content": content} for status, told in ERRORS.items()}


def _named(path: str, responses: dict[str, Any]) -> dict[str, Any]:
    """Answers with the headers that name who gave them, where they have these."""
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in NAMES}
    return {status: answer if (path, status) == (SEARCH, "200") else answer | {"headers": headers} for status, answer in responses.items()}
