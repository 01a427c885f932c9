"""The service over HTTP. Only this package knows FastAPI, pydantic and uvicorn."""

from __future__ import annotations
