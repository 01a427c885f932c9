"""serve: a bundle over HTTP."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from tt_hydra.artifact.bundle import Bundle
from tt_hydra.artifact.registry import REGISTRY, Registry
from tt_hydra.artifact.resolve import resolve_bundle
from tt_hydra.errors import BundleError, ConfigError
from tt_hydra.serve.settings import ServeOptions

PACKAGES = ("fastapi", "orjson", "prometheus_client", "uvicorn")
CURRENT = "current"


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeSettings:
    """What is served, and how.

    Attributes:
        bundle: a bundle's or a run's folder, or ``latest``: published to the registry if it is not there, and made current;
            ``current`` serves what the registry says.
        serve: address, threads, times, limits.
        outputs: root of the registry and of the runs.
        allow_targets: module prefixes of components of your own that the bundle may name.
    """

    bundle: str = "latest"
    serve: ServeOptions = field(default_factory=ServeOptions)
    outputs: Path
    allow_targets: tuple[str, ...] = ()


def serve(settings: ServeSettings, told: Callable[[str], None]) -> None:
    """Serves until it is told to end.

    Args:
        settings: what and how.
        told: is given the address as soon as requests are welcome.

    Raises:
        ConfigError: the address is taken, a package is missing, or reads ask for a token that is not set.
        BundleError: the bundle is missing, incomplete or damaged.
    """
    _require_packages()
    from tt_hydra.serve.app.server import bound, run  # noqa: PLC0415
    from tt_hydra.serve.app.service import TOKEN, Service  # noqa: PLC0415
    from tt_hydra.serve.engine import Engine  # noqa: PLC0415

    token = os.environ.get(TOKEN) or None
    if settings.serve.read_token and token is None:
        raise ConfigError(f"serve.read_token=true asks readers for a token, and none is set: set {TOKEN} in the environment")
    registry = Registry(settings.outputs.absolute() / REGISTRY)
    at = bound(settings.serve.host, settings.serve.port)
    with at:
        _publish(registry, settings)
        engine = Engine(registry, settings.serve, allow=settings.allow_targets)
        run(Service(engine, token), at, told)


def _require_packages() -> None:
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise ConfigError(f"serve needs {', '.join(missing)}, not installed here: pip install 'tt-hydra[serve]'")


def _publish(registry: Registry, settings: ServeSettings) -> None:
    if settings.bundle == CURRENT:
        if registry.current is None:
            raise BundleError(f"{registry.folder} has no current version: serve bundle=latest, or a bundle's folder")
        return
    registry.publish(Bundle.load(resolve_bundle(settings.bundle, settings.outputs)))
