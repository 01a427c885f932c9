"""update: items written and deleted in batches, the catalogue built anew where that is due, another model put in its place."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl

from tt_hydra.artifact.bridge import BRIDGE
from tt_hydra.artifact.bundle import Bundle
from tt_hydra.artifact.changes import Change
from tt_hydra.artifact.registry import Registry, Version
from tt_hydra.artifact.resolve import resolve_bundle
from tt_hydra.contracts import Health
from tt_hydra.errors import ConfigError, TTHydraError
from tt_hydra.index.compaction import Compaction, due
from tt_hydra.index.live import Base
from tt_hydra.pipeline.compact import compact
from tt_hydra.pipeline.publish import Gate, ensure, missing
from tt_hydra.pipeline.upgrade import upgrade
from tt_hydra.pipeline.written import Writing, read_writing
from tt_hydra.serve.catalogue import ID
from tt_hydra.serve.retriever import Retriever
from tt_hydra.serve.served import Served
from tt_hydra.serve.tower import torch_tower

CHUNK = 4096
"""Items that are embedded and made durable at once."""
CURRENT = "current"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class UpdateSettings:
    """What is written, and what follows.

    Attributes:
        bundle: ``current``, or a bundle that shall be current: a bundle's or a run's folder, or ``latest``; published first if need be.
        items: file of rows that are new or replace those of their ids.
        delete: file of ids, one a line (.txt), or rows with their column.
        id: column of these files that holds the ids.
        model: a bundle whose towers take over: the catalogue as it is now is embedded by them, beside the running version.
        bridge: meanwhile let the new query tower search the old index through a map that is learnt between both.
        compact: build the catalogue anew whether that is due or not.
        compaction: when it is due.
        gate: by how much a new version may be worse than the one whose place it takes.
        force: however much worse it is.
        outputs: root of the registry and of the runs.
        allow_targets: module prefixes of components of your own that the bundles may name.
    """

    bundle: str = CURRENT
    items: str | None = None
    delete: str | None = None
    id: str = ID
    model: str | None = None
    bridge: bool = False
    compact: bool = False
    compaction: Compaction = field(default_factory=Compaction)
    gate: Gate = field(default_factory=Gate)
    force: bool = False
    outputs: Path
    allow_targets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.items is None and self.delete is None and self.model is None and not self.compact:
            raise ConfigError("update needs something to do: items=FILE, delete=FILE, model=BUNDLE or compact=true")
        if self.bridge and self.model is None:
            raise ConfigError("bridge=true needs model=BUNDLE: it lets that model's query tower search until its index is built")
        if self.model is not None and self.compact:
            raise ConfigError("model=BUNDLE builds the whole catalogue anew: leave compact=true out")


@dataclass(frozen=True, kw_only=True, slots=True)
class Updated:
    """What was done.

    Attributes:
        folder: of the registry.
        upserted: items that were written.
        deleted: items that left.
        unknown: ids to delete that no item had.
        sequence: number of the last change in the log.
        version: the current version afterwards.
        reason: why it is a new one; None where it is not.
    """

    folder: Path
    upserted: int
    deleted: int
    unknown: Sequence[str]
    sequence: int
    version: Version
    reason: str | None


def update(settings: UpdateSettings) -> Updated:
    """Checks everything, writes it to the log of the registry, and builds another version where that is asked for or due.

    A server of the registry sees the writes, and the new version, by itself. What is acknowledged is on the disk.

    Raises:
        DataError: a file is missing or malformed; nothing was written.
        GateError: a new version is worse than allowed; what was written stays.
        IndexSpecError: the index cannot be built over what is left; what was written stays.
        BundleError: a bundle is missing or damaged, or the disk refuses.
    """
    registry = Registry.under(settings.outputs)
    model = None if settings.model is None else Bundle.load(resolve_bundle(settings.model, settings.outputs))
    version = _current(registry, settings)
    done = Updated(folder=registry.folder, upserted=0, deleted=0, unknown=(), sequence=0, version=version, reason=None)
    if settings.items is not None or settings.delete is not None:
        done = _write(registry, version, settings, done)
    try:
        version, reason = _anew(registry, version, model, settings)
    except TTHydraError as error:
        if not done.upserted + done.deleted:
            raise
        written = f"{done.upserted} items are written and {done.deleted} deleted, change {registry.log.last} of {registry.folder}"
        raise type(error)(f"{written}: they need not be given again. The catalogue was not built anew: {error}") from error
    return replace(done, version=version, reason=reason, sequence=registry.log.last)


def _anew(registry: Registry, version: Version, model: Bundle | None, settings: UpdateSettings) -> tuple[Version, str | None]:
    """The version that takes this one's place, and why; this one where there is no reason."""
    gate, force, allow = settings.gate, settings.force, settings.allow_targets
    if model is not None:
        upgraded = upgrade(registry, model, gate, bridge=settings.bridge, force=force, allow=allow)
        return upgraded, f"the catalogue as it is now, embedded by {settings.model}"
    reason = _due(registry, version, settings)
    if reason is not None:
        version = compact(registry, gate, force=force, allow=allow, keep=settings.compaction.keep)
    return version, reason


def _current(registry: Registry, settings: UpdateSettings) -> Version:
    if settings.bundle != CURRENT:
        bundle = Bundle.load(resolve_bundle(settings.bundle, settings.outputs))
        return ensure(registry, bundle, settings.gate, force=settings.force, allow=settings.allow_targets)
    return registry.running("bundle=latest publishes the newest run's, bundle=DIR another one")


def _write(registry: Registry, version: Version, settings: UpdateSettings, done: Updated) -> Updated:
    retriever = Retriever.load(version.folder, allow=settings.allow_targets)
    served = Served(version, retriever, torch_tower(retriever))
    writing = read_writing(served, settings.items, settings.delete, settings.id)
    changes = _changes(served, writing)
    known, _ = standing(retriever.bundle, missing(registry, version))
    unknown = [each for each in writing.deleted if each not in known]
    gone = [each for each in writing.deleted if each in known]
    changes = ([Change(deleted=gone)] if gone else []) + changes
    if changes:
        registry.log.append(changes)
    return replace(done, upserted=len(writing.rows), deleted=len(gone), unknown=tuple(unknown))


def _changes(served: Served, writing: Writing) -> list[Change]:
    """The items with their vectors, all of them embedded before the first one is written."""
    changes = []
    for start in range(0, len(writing.rows), CHUNK):
        part = slice(start, start + CHUNK)
        vectors = served.embed_items(writing.given[part])
        changes.append(Change(items=writing.rows[part], vectors=np.asarray(vectors, np.float32), model=served.model))
    return changes


def _due(registry: Registry, version: Version, settings: UpdateSettings) -> str | None:
    if settings.compact:
        return "asked for"
    if BRIDGE in version.manifest.conditions:
        return None
    bundle, changes, bounds = Bundle(version.folder, version.manifest), missing(registry, version), settings.compaction
    _, health = standing(bundle, changes)
    reason = due(health, bounds)
    if reason is None and changes and health.dead + health.delta >= bounds.least_rows:  # only then the index is worth opening
        reason = due(replace(health, imbalance=_imbalance(bundle, changes)), bounds)
    return reason


def _imbalance(bundle: Bundle, changes: Sequence[Change]) -> float | None:
    """Of the lists of a version's index after changes, as a server measures it; None where it has none."""
    gone = {identifier for change in changes for identifier in (*change.deleted, *(str(item[ID]) for item in change.items))}
    alive = ~bundle.items(ID)[ID].cast(pl.String).is_in(list(gone))
    return Base(bundle.load_index(), bundle.item_vectors).imbalance(alive.to_numpy())


def standing(bundle: Bundle, changes: Sequence[Change]) -> tuple[set[str], Health]:
    """The ids that live in a version's catalogue after changes, and its state as a server would count it."""
    alive = set(bundle.items(ID)[ID].cast(pl.String).to_list())
    base, delta = len(alive), 0
    for change in changes:
        alive.difference_update(change.deleted)
        alive.update(str(item[ID]) for item in change.items)
        delta += len(change.items)
    return alive, Health(alive=len(alive), base=base, delta=delta, dead=base + delta - len(alive))
