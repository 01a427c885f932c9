"""A model upgrade: other towers over the catalogue as it is now, built beside the running version, then put in its place."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from tt_hydra.artifact.bridge import BRIDGE, write_bridge
from tt_hydra.artifact.bundle import Bundle
from tt_hydra.artifact.changes import Change
from tt_hydra.artifact.registry import BUILT_ON, MADE_FROM, Registry, Version
from tt_hydra.artifact.renew import complete, signed
from tt_hydra.contracts import BoolArray, IntArray
from tt_hydra.errors import BundleError, ConfigError, DataError, GateError, OvertakenError
from tt_hydra.pipeline.contest import Contest, Contestant
from tt_hydra.pipeline.publish import Gate, missing, publish
from tt_hydra.pipeline.renewing import Now, Purpose, asked, build, moved, workplace
from tt_hydra.pipeline.turn import turn_between
from tt_hydra.serve.retriever import Retriever

CHUNK = 8192

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Options:
    gate: Gate
    force: bool
    allow: tuple[str, ...]


def upgrade(
    registry: Registry, model: Bundle, gate: Gate, *, bridge: bool = False, force: bool = False, allow: Sequence[str] = ()
) -> Version:
    """Embeds the catalogue as it is now with another model's item tower, builds its index and swaps.

    The running version goes on; what is written meanwhile is in the log and is embedded by whichever version applies it.

    Args:
        registry: whose current version gives way.
        model: the bundle whose towers, featurizer, index and known queries take over. Its vectors of items that did not change are used.
        gate: what is allowed.
        bridge: publish at once a version in which its query tower searches the old index through a learnt map.
        force: let everything through.
        allow: module prefixes of components of one's own.

    Raises:
        GateError: the new version is worse than allowed, or another one became current meanwhile. A bridge stays until somebody goes back.
        ConfigError: the models do not fit: the same one, or without towers, or a bridge that cannot be.
    """
    number = registry.running(f"`python -m tt_hydra versions publish={model.folder}` makes it one").number
    options = _Options(gate, force, tuple(allow))
    with workplace(registry) as folder:
        version = registry.version(number)
        running = Contestant.load(version.folder, missing(registry, version), allow)
        _check(running.bundle, model)
        before = running.bundle.bridge
        crossed = before is not None and before.query == model.manifest.model_fingerprint
        place = number
        if bridge and not crossed:
            place = _bridge(registry, number, running, model, folder / "bridge", options) or number
        retriever = Retriever.load(model.folder, allow=allow)
        purpose = Purpose(model.questions, {BUILT_ON: version.manifest.fingerprint, MADE_FROM: [model.manifest.fingerprint]})
        bundle = build(folder / "bundle", retriever, embedded(retriever, Now.of(running)), purpose, allow)
        against = registry.previous if crossed else number
        return publish(registry, bundle, gate, instead_of=place, against=against, force=force, allow=allow)


def _check(old: Bundle, new: Bundle) -> None:
    if new.manifest.model is None or new.bridge is not None:
        raise ConfigError(f"{new.folder} has no towers of its own to embed the catalogue with: publish it as it is, versions publish=...")
    if old.bridge is None and old.manifest.model_fingerprint == new.manifest.model_fingerprint:
        raise ConfigError(
            f"{new.folder} has the model of the current version already: update compact=true builds its index anew, versions publish=... "
            "takes the other's catalogue"
        )


def embedded(model: Retriever, now: Now) -> Now:
    """The catalogue as it is now under another model: what it has in its own bundle, unchanged, it knows; all else it embeds."""
    own = model.bundle.items().with_columns(pl.col("id").cast(pl.String))
    raw = _columns(own, now.raw)
    features = [each.name for each in model.bundle.featurizer.items]
    row_of = {identifier: row for row, identifier in enumerate(own["id"].to_list())}
    kept = np.array([row_of.get(identifier, -1) for identifier in raw["id"].to_list()], np.int64)
    left = len(own) - int((kept >= 0).sum())
    if left:
        logger.info("%d items of %s are not in the catalogue as it is now, and stay out", left, model.bundle.folder)
    kept[kept >= 0] = np.where(_same(own[kept[kept >= 0]], raw.filter(kept >= 0), features), kept[kept >= 0], -1)
    fresh = np.flatnonzero(kept < 0)
    vectors = np.empty((len(raw), model.bundle.manifest.dim), np.float32)
    vectors[kept >= 0] = model.bundle.item_vectors[kept[kept >= 0]]
    for start in range(0, len(fresh), CHUNK):
        rows = fresh[start : start + CHUNK]
        vectors[rows] = model.embed_items(raw[rows].select(features))
    if not np.isfinite(vectors).all():
        raise BundleError(f"{model.bundle.folder} gives an item no finite vector: its values are far outside of what it was trained on")
    logger.info("%d items embedded by %s, %d taken over", len(fresh), model.bundle.folder, len(raw) - len(fresh))
    return Now(raw=raw, kept=kept, vectors=vectors, through=now.through)


def _columns(own: pl.DataFrame, live: pl.DataFrame) -> pl.DataFrame:
    """The live catalogue with the model's columns in its types, then its own others; what only the model's bundle says is taken from it."""
    columns = []
    known = live.select("id").join(own, on="id", how="left", maintain_order="left")
    for name, kind in own.schema.items():
        if name not in live.columns:
            columns.append(known[name])
            continue
        try:
            columns.append(live[name].cast(kind))
        except pl.exceptions.PolarsError as error:
            raise DataError(f"column {name!r} of the catalogue is {live[name].dtype}, the model's is {kind}: {error}") from error
    return pl.DataFrame([*columns, *(live[name] for name in live.columns if name not in own.columns)])


def _same(one: pl.DataFrame, other: pl.DataFrame, features: Sequence[str]) -> BoolArray:
    """Where the features of two tables of one shape are equal, row by row."""
    texts = [frame.select(pl.struct(features).struct.json_encode().alias("all"))["all"] for frame in (one, other)]
    equal: BoolArray = (texts[0] == texts[1]).to_numpy().astype(np.bool_)
    return equal


def _bridge(registry: Registry, number: int, running: Contestant, model: Bundle, folder: Path, options: _Options) -> int | None:
    """Publishes a bridge from the model's query tower to the index of version ``number``; its number, or None where the gate refused it."""
    old = running.bundle
    if old.bridge is not None:
        raise ConfigError(f"the current version is a bridge itself, from model {old.bridge.query}: finish that upgrade, or roll back first")
    shared = _shared(old, model)
    turn = turn_between(model.item_vectors, old.item_vectors, shared, (model.manifest.metric, old.manifest.metric))
    taken = moved(model.taken, model.item_ids, old.item_ids)
    write_bridge(folder, model, old, turn, taken)
    names = {"query": model.manifest.model_fingerprint, "item": old.manifest.model_fingerprint}
    conditions = {**old.manifest.conditions, BRIDGE: names, BUILT_ON: old.manifest.fingerprint}
    draft = signed(folder, old.manifest, conditions)
    bundle = _measured(draft, running, model, missing(registry, draft), options.allow)
    try:
        version = publish(registry, bundle, options.gate, instead_of=number, force=options.force, allow=options.allow)
    except OvertakenError:
        raise
    except GateError as error:
        logger.warning("no bridge: %s", error)
        return None
    return version.number


def _measured(draft: Bundle, running: Contestant, model: Bundle, changes: Sequence[Change], allow: Sequence[str]) -> Bundle:
    """The bridge with what it finds of the answers, beside what the old query tower finds."""
    questions = model.questions
    if questions is None or not len(questions):
        return draft
    one = Contestant.load(draft.folder, changes, allow)
    contest = Contest.among([one, running], questions)
    figures = dict(zip(("recall@10", "replaced/recall@10"), contest.quality(), strict=False))
    if figures:
        logger.info("bridge: recall@10 %.4g, the query tower that it replaces has %.4g", *figures.values())
    told = {**draft.manifest.conditions[BRIDGE], **figures, "questions": len(contest.questions)}
    measured = {f"valid/index/{name}": value for name, value in figures.items() if "/" not in name}
    return complete(draft, asked(one, Contest.among([one], questions)), measured, {BRIDGE: told})


def _shared(old: Bundle, new: Bundle) -> tuple[IntArray, IntArray]:
    """Rows of the items that both bundles hold, in the new one and in the old one."""
    row_of = {identifier: row for row, identifier in enumerate(old.item_ids)}
    pairs = [(row, row_of[each]) for row, each in enumerate(new.item_ids) if each in row_of]
    rows = np.array(pairs, np.int64).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]
