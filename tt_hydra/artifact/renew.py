"""Writes a bundle of the same model over another catalogue: towers, featurizer and known queries are those of a bundle that there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

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
from tt_hydra.artifact.files import link_or_copy, sha256, write_json
from tt_hydra.artifact.manifest import Manifest
from tt_hydra.artifact.model import ITEM_WEIGHTS, QUERY_WEIGHTS
from tt_hydra.artifact.reference import Asked, save_reference
from tt_hydra.component import spec_of
from tt_hydra.contracts import FloatArray, Ragged
from tt_hydra.data.encoded import save_column
from tt_hydra.data.item_table import ItemTable
from tt_hydra.index.faiss_index import FaissIndex

KEPT = (QUERY_WEIGHTS, ITEM_WEIGHTS, FEATURIZER, QUERIES, QUERY_VECTORS)
"""Files that the model brings along, besides the folder of its text encoder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Renewal:
    """A model and the catalogue that it shall serve.

    Attributes:
        model: the bundle whose towers and known queries are kept.
        items: raw columns by row, ``id`` as text.
        table: the same encoded; rows behind those of ``items`` are known to histories only.
        vectors: ``(items, dim)`` by the model's item tower.
        index: over these vectors.
        search_params: that it is searched with.
        item_text: ``(rows of table, width)`` text vectors where histories read them.
        taken: by known query the rows of all items that it had.
        conditions: that differ from those of ``model``.
    """

    model: Bundle
    items: pl.DataFrame
    table: ItemTable
    vectors: FloatArray
    index: FaissIndex
    search_params: Mapping[str, int]
    item_text: FloatArray | None
    taken: Ragged
    conditions: Mapping[str, Any] = field(default_factory=dict)


def write_renewal(folder: Path, renewal: Renewal) -> Bundle:
    """Writes all but the reference and the figures into a folder that does not exist yet; see `complete`."""
    folder.mkdir(parents=True)
    _link_model(renewal.model, folder)
    np.save(folder / VECTORS, renewal.vectors)
    vectors, model = sha256(folder / VECTORS), renewal.model.manifest.model_fingerprint
    write_json(folder / VECTORS_ORIGIN, {"model": model, "sha256": vectors})
    (folder / INDEX).mkdir()
    renewal.index.save(folder / INDEX)
    write_json(folder / INDEX_ORIGIN, {"model": model, "vectors": vectors})
    _write_items(folder, renewal)
    params = dict(renewal.search_params)
    manifest = replace(
        renewal.model.manifest,
        num_items=len(renewal.vectors),
        vectors_fingerprint=vectors,
        index={"index": spec_of(renewal.index.spec), "quantization": spec_of(renewal.index.quantization), "search_params": params},
        measured={},
        conditions={**renewal.model.manifest.conditions, **renewal.conditions},
    )
    return _signed(folder, manifest)


def complete(bundle: Bundle, asked: Asked | None, measured: Mapping[str, float], conditions: Mapping[str, Any]) -> Bundle:
    """Adds the reference and the figures to what `write_renewal` wrote."""
    if asked is not None:
        save_reference(bundle.folder, asked)
    manifest = replace(bundle.manifest, measured=dict(measured), conditions={**bundle.manifest.conditions, **conditions})
    return _signed(bundle.folder, manifest)


def _link_model(model: Bundle, folder: Path) -> None:
    for name in model.manifest.files:
        if name in KEPT or name.startswith(f"{ENCODER}/"):
            link_or_copy(model.folder / name, folder / name)


def _write_items(folder: Path, renewal: Renewal) -> None:
    renewal.items.write_parquet(folder / ITEMS)
    (folder / CATALOGUE).mkdir()
    renewal.table.save(folder / CATALOGUE)
    save_column(folder, TAKEN, renewal.taken)
    if renewal.item_text is not None:
        np.save(folder / ITEM_TEXT, renewal.item_text)
    for number, column in enumerate(renewal.table.tokens.values()):
        (folder / ITEM_TOKENS).mkdir(exist_ok=True)
        save_column(folder / ITEM_TOKENS, str(number), column)


def signed(folder: Path, manifest: Manifest, conditions: Mapping[str, Any]) -> Bundle:
    """Makes a bundle of what lies in a folder, with a manifest that differs in its conditions and has no figures yet."""
    return _signed(folder, replace(manifest, conditions=dict(conditions), measured={}))


def _signed(folder: Path, manifest: Manifest) -> Bundle:
    """Writes the manifest with the checksums of what lies there now; the model stays as old as it is."""
    manifest = replace(
        manifest,
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
        trained=manifest.trained_at,
        version=tt_hydra.__version__,
        files=listed(folder),
    )
    manifest.save(folder)
    return Bundle.load(folder, verify=False)
