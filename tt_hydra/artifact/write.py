"""Writes a bundle from a run's parts: all of it, or nothing."""

from __future__ import annotations

import glob
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

import tt_hydra
from tt_hydra.artifact.bundle import (
    CATALOGUE,
    ENCODER,
    FEATURIZER,
    INDEX,
    INDEX_ORIGIN,
    ITEM_TEXT,
    ITEM_TOKENS,
    ITEMS,
    QUERIES,
    QUERY_VECTORS,
    TAKEN,
    VECTORS,
    VECTORS_ORIGIN,
    Bundle,
    listed,
)
from tt_hydra.artifact.files import REMOVED, disk_errors, link_or_copy, publish, remove_tree, sha256, sizes, write_json
from tt_hydra.artifact.keys import fingerprint
from tt_hydra.artifact.manifest import MANIFEST, Manifest
from tt_hydra.artifact.model import ModelSpec, model_fingerprint, save_weights
from tt_hydra.artifact.reference import Asked, save_reference
from tt_hydra.contracts import Metric
from tt_hydra.data.dataset import Dataset
from tt_hydra.data.encoded import save_column
from tt_hydra.errors import BundleError
from tt_hydra.index.storage import HEADER_FILE
from tt_hydra.tower.two_tower import TwoTower

RAW = "raw.parquet"


@dataclass(frozen=True, slots=True)
class Model:
    """Towers with their trained weights, and what they were built from."""

    towers: TwoTower
    spec: ModelSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """What a bundle is made of.

    Attributes:
        model: towers and what they were built from; None for ready-made vectors.
        metric: similarity of the vectors.
        dataset: its catalogue, featurizer and queries go into the bundle; tokenised, so that histories need not be again.
        item_vectors: ``.npy`` file of these towers' vectors, ``(items, dim)`` float32.
        index: folder that an index over these vectors was saved to.
        item_text: ``.npy`` file of the items' text vectors where histories read them; None takes those that the towers hold, if any.
        search_params: search parameters to use where they differ from those that the index was saved with.
        precision: number format in which the vectors were computed.
        measured: figures under their keys in ``metrics.json``.
        conditions: under which they were measured.
        reference: questions that were not trained on, and how these parts answer them; None where there are none.
        trained: ISO time with zone when the model was trained, where that was before; None for now.
    """

    model: Model | None
    metric: Metric
    dataset: Dataset
    item_vectors: Path
    index: Path
    item_text: Path | None = None
    search_params: Mapping[str, int] = field(default_factory=dict)
    precision: Literal["32", "bf16", "16"] = "32"
    measured: Mapping[str, float] = field(default_factory=dict)
    conditions: Mapping[str, Any] = field(default_factory=dict)
    reference: Asked | None = None
    trained: str | None = None


def write_bundle(folder: Path, parts: Parts) -> Bundle:
    """Writes a bundle: all of it, or nothing under this name. An earlier bundle of the name gives way.

    Large files are linked to where they lie, or copied where the file system refuses links.

    Raises:
        BundleError: the parts do not fit together, the folder holds something else, or the disk refuses.
    """
    folder = folder.absolute()
    if folder.exists() and any(folder.iterdir()) and not (folder / MANIFEST).exists():
        raise BundleError(f"{folder} exists and is no bundle: give another folder, or remove it")
    _shape(parts)
    unfinished = folder.with_name(f".{folder.name}.partial")
    with disk_errors(folder.parent, f"writing bundle {folder}", BundleError):
        for leftover in (*folder.parent.glob(f"{glob.escape(folder.name)}{REMOVED}*"), *folder.parent.glob(glob.escape(unfinished.name))):
            remove_tree(leftover)
        unfinished.mkdir(parents=True)
        model = _write_model(unfinished, parts)
        vectors = _write_vectors(unfinished, parts, model)
        _write_data(unfinished, parts)
        if parts.reference is not None:
            save_reference(unfinished, parts.reference)
        _manifest(unfinished, parts, model, vectors).save(unfinished)
        publish(unfinished, folder)
    return Bundle.load(folder, verify=False)


def _shape(parts: Parts) -> tuple[int, int]:
    """Items and dimensions of the vectors, checked against model and data set."""
    vectors = np.load(parts.item_vectors, mmap_mode="r", allow_pickle=False)
    dim = vectors.shape[-1] if parts.model is None else parts.model.towers.dim
    expected = (parts.dataset.num_items, dim)
    if vectors.shape != expected or vectors.dtype != np.float32:
        raise BundleError(
            f"{parts.item_vectors} holds {vectors.shape} {vectors.dtype}, but this model and data set make {expected} float32: "
            "it belongs to another model or catalogue"
        )
    return expected


def _write_model(folder: Path, parts: Parts) -> str:
    """Writes what makes vectors; its fingerprint."""
    dataset, model = parts.dataset, parts.model
    (folder / FEATURIZER).write_text(dataset.featurizer.to_json(), encoding="utf-8")
    if model is None:
        link_or_copy(dataset.folder / QUERY_VECTORS, folder / QUERY_VECTORS)
        return fingerprint({"vectors": sha256(parts.item_vectors)})
    save_weights(model.towers, folder)
    model.towers.save_assets(folder / ENCODER)
    if dataset.featurizer.history and parts.item_text is not None:
        link_or_copy(parts.item_text, folder / ITEM_TEXT)
    elif dataset.featurizer.history and model.towers.item_text is not None:
        np.save(folder / ITEM_TEXT, model.towers.item_text.float().cpu().numpy())
    return model_fingerprint(model.towers, model.spec, dataset.featurizer.fingerprint)


def _write_data(folder: Path, parts: Parts) -> None:
    dataset = parts.dataset
    items = dataset.folder / "items"
    for name in sizes(items):
        link_or_copy(items / name, folder / ITEMS if name == RAW else folder / CATALOGUE / name)
    dataset.query_records(np.arange(dataset.num_queries)).write_parquet(folder / QUERIES)
    save_column(folder, TAKEN, dataset.taken())
    tokens = dataset.catalogue.table.tokens if dataset.featurizer.history else {}
    for number, column in enumerate(tokens.values()):
        (folder / ITEM_TOKENS).mkdir(exist_ok=True)
        save_column(folder / ITEM_TOKENS, str(number), column)


def _write_vectors(folder: Path, parts: Parts, model: str) -> str:
    """Writes vectors and index with their origin; the vectors' SHA-256."""
    link_or_copy(parts.item_vectors, folder / VECTORS)
    vectors = sha256(folder / VECTORS)
    write_json(folder / VECTORS_ORIGIN, {"model": model, "sha256": vectors})
    for name in sizes(parts.index):
        if name != "entry.json":
            link_or_copy(parts.index / name, folder / INDEX / name)
    write_json(folder / INDEX_ORIGIN, {"model": model, "vectors": vectors})
    return vectors


def _manifest(folder: Path, parts: Parts, model: str, vectors: str) -> Manifest:
    items, dim = _shape(parts)
    return Manifest(
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
        trained=parts.trained,
        version=tt_hydra.__version__,
        metric=parts.metric,
        dim=dim,
        num_items=items,
        precision=parts.precision,
        title=parts.dataset.display_column,
        model=None if parts.model is None else parts.model.spec.to_json(),
        model_fingerprint=model,
        vectors_fingerprint=vectors,
        index=_index(parts),
        measured=dict(parts.measured),
        conditions=dict(parts.conditions),
        files=listed(folder),
    )


def _index(parts: Parts) -> dict[str, Any]:
    header = json.loads((parts.index / HEADER_FILE).read_text(encoding="utf-8"))
    params = {**header["search_params"], **parts.search_params}
    return {"index": header["index"], "quantization": header["quantization"], "search_params": params}
