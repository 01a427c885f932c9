"""Compaction: a version and the changes since become a version that contains them, without dead rows and with everything in its index."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from tt_hydra.artifact.bridge import BRIDGE
from tt_hydra.artifact.registry import BUILT_ON, MADE_FROM, Registry, Version
from tt_hydra.errors import BundleError
from tt_hydra.pipeline.contest import Contestant
from tt_hydra.pipeline.publish import Gate, missing, publish
from tt_hydra.pipeline.renewing import Now, Purpose, build, workplace

LINEAGE = 100
"""Versions that a compacted one remembers to be made from."""

logger = logging.getLogger(__name__)


def refuse_bridge(version: Version) -> None:
    """Raises BundleError where a version only bridges the time until another model's index is built."""
    if version.manifest.conditions.get(BRIDGE) is not None:
        raise BundleError(
            f"version {version.number} is a bridge from one model to another and is not built anew: finish the upgrade, "
            "`python -m tt_hydra update model=BUNDLE`, or go back, `python -m tt_hydra versions rollback=true`"
        )


def compact(
    registry: Registry, gate: Gate | None = None, *, force: bool = False, allow: Sequence[str] = (), keep: int | None = None
) -> Version:
    """Builds the current version anew with all changes, and makes it current if it passes the gate.

    Towers, index and search parameters stay; vectors of unchanged items are used again. A kill at any moment leaves the version that
    there was or the new one.

    Args:
        registry: whose current version and log it is about.
        gate: what is allowed; None for the defaults.
        force: let everything through.
        allow: module prefixes of components of one's own that the bundle may use.
        keep: versions that stay, the newest, and the current and the previous one; None for all.

    Returns:
        The new version, or the current one where there is no change that it does not contain.

    Raises:
        GateError: the new version is worse than allowed, or another version became current meanwhile.
        BundleError: nothing is current, or another process builds a version.
    """
    number = registry.running("publish a bundle, `python -m tt_hydra versions publish=latest`").number
    with workplace(registry) as folder:
        version = registry.version(number)
        changes = missing(registry, version)
        refuse_bridge(version)
        if not changes:
            logger.info("version %d contains all changes of the catalogue", number)
            return version
        running = Contestant.load(version.folder, changes, allow)
        now = Now.of(running)
        own = version.manifest.fingerprint
        lineage = [*version.manifest.conditions.get(MADE_FROM, ()), own][-LINEAGE:]
        purpose = Purpose(running.bundle.questions, {MADE_FROM: lineage, BUILT_ON: own})
        bundle = build(folder / "bundle", running.retriever, now, purpose, allow)
        compacted = publish(registry, bundle, gate or Gate(), instead_of=number, force=force, allow=allow)
    logger.info("version %d contains the changes through %d, %d items", compacted.number, now.through, len(now.raw))
    if keep is not None and (removed := registry.retain(keep)):
        logger.info("versions that are no longer kept: %s", ", ".join(map(str, removed)))
    return compacted
