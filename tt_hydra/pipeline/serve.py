"""serve: a bundle over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tt_hydra.artifact.bundle import Bundle
from tt_hydra.artifact.registry import TRAFFIC, Registry
from tt_hydra.artifact.resolve import resolve_bundle
from tt_hydra.errors import ConfigError
from tt_hydra.index.compaction import Compaction, due
from tt_hydra.monitor.settings import MonitorSettings
from tt_hydra.pipeline.compact import compact
from tt_hydra.pipeline.publish import Gate, ensure
from tt_hydra.serve.engine import Engine, Upkeep
from tt_hydra.serve.settings import ServeOptions

PACKAGES = ("fastapi", "orjson", "prometheus_client", "uvicorn")
CURRENT = "current"
BUILT_RECALL = ("test/ann/recall@10", "valid/ann/recall@10")
"""Figures of a bundle; the first that it has counts."""

if TYPE_CHECKING:
    from tt_hydra.monitor.live import LiveMonitor


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeSettings:
    """What is served, and how.

    Attributes:
        bundle: a bundle's or a run's folder, or ``latest``: published to the registry if it is not there, and made current;
            ``current`` serves what the registry says.
        serve: address, threads, times, limits.
        monitor: how closely its traffic is watched.
        compaction: when the catalogue is built anew in the background.
        gate: by how much a version may be worse than the one whose place it takes.
        force: publish the bundle however much worse it is.
        outputs: root of the registry and of the runs.
        allow_targets: module prefixes of components of your own that the bundle may name.
    """

    bundle: str = "latest"
    serve: ServeOptions = field(default_factory=ServeOptions)
    monitor: MonitorSettings = field(default_factory=MonitorSettings)
    compaction: Compaction = field(default_factory=Compaction)
    gate: Gate = field(default_factory=Gate)
    force: bool = False
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
        GateError: it is worse than the version that is current.
    """
    _require_packages()
    from tt_hydra.monitor.live import LiveMonitor  # noqa: PLC0415
    from tt_hydra.serve.app.server import bound, run  # noqa: PLC0415
    from tt_hydra.serve.app.service import TOKEN, Service, token_of_environment  # noqa: PLC0415

    token = token_of_environment()
    if settings.serve.read_token and token is None:
        raise ConfigError(f"serve.read_token=true asks readers for a token, and none is set: set {TOKEN} in the environment")
    registry = Registry.under(settings.outputs)
    at = bound(settings.serve.host, settings.serve.port)
    with at:
        _publish(registry, settings)
        watch = LiveMonitor(settings.monitor, registry.folder / TRAFFIC)
        engine = Engine(registry, settings.serve, watch, settings.allow_targets)
        run(Service(engine, token, watch.render), at, told, _upkeep(registry, settings, watch))


def _upkeep(registry: Registry, settings: ServeSettings, watch: LiveMonitor) -> Upkeep | None:
    if not settings.serve.upkeep_s:
        return None
    return Upkeep(
        due=lambda health: due(health, settings.compaction, watch.recall_low, _recall_built(registry)),
        compact=lambda: compact(registry, settings.gate, allow=settings.allow_targets, keep=settings.compaction.keep),
        every_s=settings.serve.upkeep_s,
    )


def _recall_built(registry: Registry) -> float | None:
    """Recall@10 of the current version's index against exact search, as it was measured when it was built."""
    measured = registry.running("publish a bundle first").manifest.measured
    return next((measured[name] for name in BUILT_RECALL if name in measured), None)


def _require_packages() -> None:
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise ConfigError(f"serve needs {', '.join(missing)}, not installed here: pip install 'tt-hydra[serve]'")


def _publish(registry: Registry, settings: ServeSettings) -> None:
    if settings.bundle == CURRENT:
        registry.running("serve bundle=latest, or a bundle's folder")
        return
    bundle = Bundle.load(resolve_bundle(settings.bundle, settings.outputs))
    ensure(registry, bundle, settings.gate, force=settings.force, allow=settings.allow_targets)
