"""Compaction: a version and the changes since become a version that contains them, without dead rows and with everything in its index."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from tt_hydra.artifact.registry import Registry, Version
from tt_hydra.errors import BundleError
from tt_hydra.pipeline.contest import Contestant
from tt_hydra.pipeline.publish import Gate, missing, publish
from tt_hydra.pipeline.renewing import Now, build, workplace

logger = logging.getLogger(__name__)


def compact(registry: Registry, gate: Gate | None = None, *, force: bool = False, allow: Sequence[str] = ()) -> Version:
    """Builds the current version anew with all changes, and makes it current if it passes the gate.

    Towers, index and search parameters stay; vectors of unchanged items are used again. A kill at any moment leaves the version that
    there was or the new one.

    Args:
        registry: whose current version and log it is about.
        gate: what is allowed; None for the defaults.
        force: let everything through.
        allow: module prefixes of components of one's own that the bundle may use.

    Returns:
        The new version, or the current one where there is no change that it does not contain.

    Raises:
        GateError: the new version is worse than allowed, or another version became current meanwhile.
        BundleError: nothing is current, or another process builds a version.
    """
    number = registry.current
    if number is None:
        raise BundleError(f"{registry.folder} has no current version: publish a bundle, `python -m tt_hydra versions publish=latest`")
    with workplace(registry) as folder:
        version = registry.version(number)
        changes = missing(registry, version)
        if not changes:
            logger.info("version %d contains all changes of the catalogue", number)
            return version
        running = Contestant.load(version.folder, changes, allow)
        now = Now.of(running)
        bundle = build(folder / "bundle", running.retriever, now, running.bundle.questions, allow)
        compacted = publish(registry, bundle, gate or Gate(), instead_of=number, force=force, allow=allow)
    logger.info("version %d contains the changes through %d, %d items", compacted.number, now.through, len(now.raw))
    return compacted
