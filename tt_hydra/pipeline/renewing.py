"""A model over the catalogue as it is now: rows that it knows keep their encoding, all others are encoded; the index is built anew."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tt_hydra.artifact.bundle import INDEX, VECTORS, Bundle
from tt_hydra.artifact.files import disk_errors
from tt_hydra.artifact.lock import FileLock
from tt_hydra.artifact.reference import DEPTH, Asked, Questions
from tt_hydra.artifact.registry import WRITES_THROUGH, Registry
from tt_hydra.artifact.renew import Renewal, complete, write_renewal
from tt_hydra.contracts import FloatArray, IntArray, Ragged
from tt_hydra.data.catalogue import Catalogue
from tt_hydra.data.item_table import ItemTable
from tt_hydra.data.schema import HISTORY
from tt_hydra.data.unknown import unknown_values
from tt_hydra.errors import BuildingError, BundleError, DataError
from tt_hydra.index.build import build_index
from tt_hydra.index.faiss_index import FaissIndex
from tt_hydra.index.ivf import Ivf
from tt_hydra.index.storage import bytes_on_disk
from tt_hydra.pipeline.contest import Contest, Contestant
from tt_hydra.pipeline.stage.table import machine
from tt_hydra.serve.retriever import Retriever

WORK = ".work"
"""Folder in a registry where a version is built before it is published."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Now:
    """The catalogue as it is now, all changes applied.

    Attributes:
        raw: raw columns by row, ``id`` as text: what is left of the version's own rows, then what was added, in order.
        kept: ``(rows,)`` row in the version's bundle, -1 for what was added.
        vectors: ``(rows, dim)`` by the version's item tower.
        through: number of the last change in it.
    """

    raw: pl.DataFrame
    kept: IntArray
    vectors: FloatArray
    through: int

    @classmethod
    def of(cls, running: Contestant) -> Now:
        """What a version serves.

        Raises:
            BundleError: nothing is left of its catalogue.
        """
        served, base = running.served, running.bundle.manifest.num_items
        snapshot, items = served.state.snapshot, served.items
        rows = np.arange(snapshot.size) if snapshot.alive is None else np.flatnonzero(snapshot.alive)
        if not len(rows):
            raise BundleError(f"{running.bundle.folder}: every item of the catalogue is deleted; an index needs at least one")
        old, added = rows[rows < base], rows[rows >= base] - base
        frame = running.bundle.items()
        new = pl.DataFrame([_cast(items.added(name, 0, items.size - base), frame.schema[name], name) for name in frame.columns])
        raw = pl.concat([_text_ids(frame[old]), _text_ids(new[added])])
        return cls(raw=raw, kept=np.where(rows < base, rows, -1), vectors=snapshot.take(rows), through=served.state.mark.sequence)


@contextmanager
def workplace(registry: Registry) -> Iterator[Path]:
    """An empty folder in a registry to build a version in; it is gone afterwards, or when the next one begins.

    Raises:
        BuildingError: another process builds a version there.
        BundleError: the disk refuses.
    """
    lock = FileLock(registry.folder / f"{WORK}.lock")
    if not lock.try_exclusive():
        raise BuildingError(f"{registry.folder}: another version is being built by {lock.holder()}: try again when it has finished")
    folder = registry.folder / WORK
    try:
        with disk_errors(registry.folder, f"building a version in {registry.folder}", BundleError):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a bundle is measured on, and what its manifest says of its origin.

    Attributes:
        questions: those that were not trained on, for its reference; answers that are gone are left out. None for none.
        conditions: besides the last change in it.
    """

    questions: Questions | None
    conditions: Mapping[str, Any] = field(default_factory=dict)


def build(folder: Path, model: Retriever, now: Now, purpose: Purpose, allow: Sequence[str] = ()) -> Bundle:
    """A bundle of a model over the catalogue as it is now, measured on questions.

    Args:
        folder: where to; it must not exist.
        model: the model; ``now.kept`` numbers rows of its bundle, ``now.vectors`` are by its item tower.
        now: the catalogue.
        purpose: what it is measured on.
        allow: module prefixes of components of one's own.

    Raises:
        IndexSpecError: the index cannot be built over what is left.
    """
    started = time.perf_counter()
    index = _index(model, now.vectors)
    seconds = time.perf_counter() - started
    draft = write_renewal(folder, _renewal(model, now, index, {**purpose.conditions, WRITES_THROUGH: now.through}))
    size = bytes_on_disk(folder / INDEX, folder / VECTORS)
    figures = {"index/build_s": seconds, "index/bytes_per_item": size / len(now.vectors), "index/bytes_total": float(size)}
    figures |= {name: value for name, value in model.bundle.manifest.measured.items() if name.startswith("train/")}
    if purpose.questions is None or not len(purpose.questions):
        return complete(draft, None, figures, machine())
    contest = Contest.among([Contestant.load(folder, allow=allow)], purpose.questions)
    (one,) = contest.contestants
    if len(contest.questions):
        figures |= {"valid/ann/recall@10": contest.ann_recall()[0], "query/p99_ms": contest.p99_ms()[0]}
    if quality := contest.quality():
        figures["valid/index/recall@10"] = quality[0]
    return complete(draft, asked(one, contest), figures, {**machine(), "measured_on": "reference", "questions": len(contest.questions)})


def asked(one: Contestant, contest: Contest) -> Asked:
    """The questions of a contest of one, as it answers them; answers that are gone are left out."""
    questions, (vectors,) = contest.questions, contest.vectors
    questions = replace(questions, relevant=_held(one, questions.relevant), exclude=_held(one, questions.exclude))
    unknown = values = 0
    if one.bundle.manifest.model is not None:
        unknown, values = unknown_values(one.bundle.featurizer, questions.records, one.bundle.load_catalogue().rows_of)
    scores = one.search(vectors, DEPTH).scores
    return Asked(questions=questions, vectors=vectors, scores=scores, unknown_share=unknown / max(1, values))


def _held(one: Contestant, lists: pl.Series) -> pl.Series:
    return pl.Series([list(filter(one.holds, ids)) for ids in lists.to_list()], dtype=pl.List(pl.String))


def _renewal(model: Retriever, now: Now, index: FaissIndex, conditions: Mapping[str, Any]) -> Renewal:
    bundle, catalogue = model.bundle, model.bundle.load_catalogue()
    known, fresh = np.flatnonzero(now.kept >= 0), np.flatnonzero(now.kept < 0)
    gone = _remembered(bundle, catalogue, now.raw["id"])
    order = np.concatenate([np.argsort(np.concatenate([known, fresh]), kind="stable"), np.arange(len(gone)) + len(now.raw)])
    tokenizer = model.towers.tokenizers["item"] if catalogue.table.tokens else None
    encoded = ItemTable.encoded(now.raw[fresh], bundle.featurizer, tokenizer)
    table = ItemTable.joined([ItemTable.of(catalogue, now.kept[known]), encoded, ItemTable.of(catalogue, gone)]).take(order)
    text, features = model.item_text, [each.name for each in bundle.featurizer.items if each.name in now.raw.columns]
    if text is not None:
        text = np.concatenate([text[now.kept[known]], model.embed_item_texts(now.raw[fresh].select(features)), text[gone]])[order]
    taken = moved(bundle.taken, bundle.item_ids, now.raw["id"].to_list())
    return Renewal(
        model=bundle,
        items=now.raw,
        table=table,
        vectors=now.vectors,
        index=index,
        search_params=_search_params(model, index),
        item_text=text,
        taken=taken,
        conditions=conditions,
    )


def _remembered(bundle: Bundle, catalogue: Catalogue, ids: pl.Series) -> IntArray:
    """Rows of items that are gone, but that known histories name: what somebody took stays part of what is known of them."""
    if not bundle.featurizer.history:
        return np.empty(0, np.int64)
    lists = [bundle.queries[HISTORY]] + ([] if bundle.questions is None else [bundle.questions.records[HISTORY]])
    named = pl.concat([each.explode(empty_as_null=False, keep_nulls=False) for each in lists]).unique(maintain_order=True)
    rows = catalogue.rows_of(named.filter(~named.is_in(ids.implode())).to_list())
    return np.sort(rows[rows >= 0])


def moved(taken: Ragged, old: Sequence[str], new: Sequence[str]) -> Ragged:
    """Rows of items under the numbers that their ids have now, sorted; those of items that are gone are left out."""
    row_of = {identifier: row for row, identifier in enumerate(new)}
    place = np.array([row_of.get(identifier, -1) for identifier in old], np.int64)
    rows = place[taken.values.astype(np.int64)]
    owner = taken.owners()[rows >= 0]
    rows = rows[rows >= 0]
    order = np.lexsort((rows, owner))
    offsets = np.searchsorted(owner[order], np.arange(len(taken) + 1))
    return Ragged(rows[order].astype(np.int32), offsets.astype(np.int64))


def _index(model: Retriever, vectors: FloatArray) -> FaissIndex:
    """An index of the model's kind over other vectors."""
    index = model.index
    assert isinstance(index, FaissIndex)
    spec, seed = index.spec, int(model.bundle.manifest.conditions.get("seed", 0))
    if isinstance(spec, Ivf) and spec.nlist is not None and spec.nlist > len(vectors):
        spec = replace(spec, nlist=len(vectors), nprobe=None if spec.nprobe is None else min(spec.nprobe, len(vectors)))
    return build_index(spec, index.quantization, vectors, index.metric, seed=seed, prefix_dim=index.prefix_dim)


def _search_params(model: Retriever, index: FaissIndex) -> dict[str, int]:
    """Those of the model's bundle, as far as the index takes them.

    Lists that it visits because its spec says so are as many as the spec gives now, and never more than there are.
    """
    known, old = index.search_params, model.index
    kept = {name: value for name, value in model.bundle.manifest.search_params.items() if name in known}
    if index.lists is not None and "nprobe" in kept:
        assert isinstance(old, FaissIndex)
        asked = getattr(old.spec, "nprobe", None)
        by_spec = asked is not None and old.lists is not None and kept["nprobe"] == min(asked, len(old.lists[1]))
        kept["nprobe"] = known["nprobe"] if by_spec else min(kept["nprobe"], len(index.lists[1]))
    return {**known, **kept}


def _text_ids(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col("id").cast(pl.String))


def _cast(column: pl.Series, kind: pl.DataType, name: str) -> pl.Series:
    """A column of added rows in the type of the version's own; the ids are text whatever those are."""
    if name == "id" or column.dtype == kind:
        return column
    try:
        return column.cast(kind)
    except pl.exceptions.PolarsError as error:
        raise DataError(f"column {name!r} of the items written is {column.dtype}, the catalogue's is {kind}: {error}") from error
