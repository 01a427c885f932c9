"""versions: what the registry holds, and which version is current."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tt_hydra.artifact.bundle import Bundle
from tt_hydra.artifact.registry import Registry, Version
from tt_hydra.artifact.resolve import resolve_bundle
from tt_hydra.errors import BundleError, ConfigError, GateError
from tt_hydra.pipeline.contest import Contestant
from tt_hydra.pipeline.publish import Gate, missing, publish


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionsSettings:
    """What to do with the registry; nothing at all lists it.

    Attributes:
        publish: a bundle that shall become the next version and current: a bundle's or a run's folder, or ``latest``.
        activate: number of a version that shall become current.
        rollback: make the previous version current again.
        gate: by how much a published bundle may be worse than the current version.
        force: publish it however much worse it is.
        keep: remove all but this many newest versions; the current and the previous one stay. Null removes none.
        outputs: root of the registry and of the runs.
        allow_targets: module prefixes of components of your own that the bundles may name.
    """

    publish: str | None = None
    activate: int | None = None
    rollback: bool = False
    gate: Gate = field(default_factory=Gate)
    force: bool = False
    keep: int | None = None
    outputs: Path
    allow_targets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if sum((self.publish is not None, self.activate is not None, self.rollback)) > 1:
            raise ConfigError("publish, activate and rollback each choose the current version: give one of them")
        if self.keep is not None and self.keep < 1:
            raise ConfigError(f"keep={self.keep}: at least 1 version is kept")


@dataclass(frozen=True, slots=True)
class Listing:
    """The registry after the command.

    Attributes:
        folder: of the registry.
        versions: oldest first.
        current: number of the version that is served, if any.
        previous: number of the one before, if any.
        removed: numbers of versions that were removed.
    """

    folder: Path
    versions: list[Version]
    current: int | None
    previous: int | None
    removed: tuple[int, ...] = ()


def versions(settings: VersionsSettings) -> Listing:
    """Publishes, activates, goes back or cleans up as it is told, and lists what there is then.

    Raises:
        GateError: the bundle is worse than the current version by more than is allowed.
        BundleError: the bundle or the version is missing or damaged.
    """
    registry = Registry.under(settings.outputs)
    if settings.publish is not None:
        bundle = Bundle.load(resolve_bundle(settings.publish, settings.outputs))
        publish(registry, bundle, settings.gate, force=settings.force, allow=settings.allow_targets)
    elif settings.activate is not None:
        _require_servable(registry, settings.activate, settings)
        registry.activate(settings.activate)
    elif settings.rollback:
        if registry.previous is not None:
            _require_servable(registry, registry.previous, settings)
        registry.rollback()
    removed = () if settings.keep is None else tuple(registry.retain(settings.keep))
    return Listing(registry.folder, registry.versions(), registry.current, registry.previous, removed)


def _require_servable(registry: Registry, number: int, settings: VersionsSettings) -> None:
    """Refuses a version that no server could serve with what was written since."""
    version = registry.version(number)
    try:
        Contestant.load(version.folder, missing(registry, version), settings.allow_targets)
    except GateError:
        raise
    except BundleError as error:
        fix = "delete those items first (`python -m tt_hydra update delete=FILE`), or publish a bundle that takes them"
        raise BundleError(f"version {number} cannot be current: {error}; {fix}") from error
