"""The bundle: one immutable folder that holds all that serving needs, each file with its checksum, each part with its origin.

Layout: ``manifest.json``; ``query_tower.safetensors`` and ``item_tower.safetensors`` (tied towers have only the latter);
``encoder/`` configuration and tokenizer of a pretrained text encoder; ``featurizer.json``; ``item_vectors.npy``, the truth, with
``item_vectors.json``, the model that made it; ``index/`` with ``built_from.json``; ``items.parquet``, ids in row order with all raw
columns; ``items/``, the same encoded; ``queries.parquet``, last known raw features and history by query id; ``taken``, the rows of
all items that each query had, which may be more than its history; ``item_text.npy`` and ``item_tokens/``, the items' text vectors
and token ids, where histories read them; ``reference/``, validation queries with their answers, vectors and scores. Where the
vectors came ready-made there are ``query_vectors.npy`` and no towers. Where another model's query tower asks there is ``bridge/``, see
`tt_hydra.artifact.bridge`. Nothing in it is a pickle.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from tt_hydra.artifact.bridge import BRIDGE, MAP, MODEL, Bridge, read_bridge
from tt_hydra.artifact.files import sha256, sizes
from tt_hydra.artifact.manifest import MANIFEST, Manifest
from tt_hydra.artifact.model import ITEM_WEIGHTS, QUERY_WEIGHTS, ModelSpec, load_weights
from tt_hydra.artifact.reference import Questions, load_questions, load_reference
from tt_hydra.contracts import FloatArray, Ragged, Reference, VectorIndex
from tt_hydra.data.catalogue import Catalogue
from tt_hydra.data.encoded import load_ragged
from tt_hydra.data.featurizer import Featurizer
from tt_hydra.errors import BundleError
from tt_hydra.index.storage import load_index
from tt_hydra.tower.bridged import Bridged
from tt_hydra.tower.two_tower import TwoTower

VECTORS, VECTORS_ORIGIN = "item_vectors.npy", "item_vectors.json"
INDEX, INDEX_ORIGIN = "index", "index/built_from.json"
ITEMS, CATALOGUE, QUERIES, FEATURIZER = "items.parquet", "items", "queries.parquet", "featurizer.json"
QUERY_VECTORS = "query_vectors.npy"
TAKEN = "taken"
ITEM_TEXT, ITEM_TOKENS, ENCODER = "item_text.npy", "item_tokens", "encoder"
_REPAIR = "Copy the bundle again from where it was made, or run the pipeline again"


def digests(folder: Path, names: Iterable[str]) -> list[str]:
    """SHA-256 of each named file, several at a time."""
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        return list(pool.map(lambda name: sha256(folder / name), names))


def listed(folder: Path) -> dict[str, dict[str, Any]]:
    """What a manifest says of the files that lie there now: size and checksum of each but the manifest itself."""
    bytes_of = {name: size for name, size in sizes(folder).items() if name != MANIFEST}
    hashed = zip(bytes_of.items(), digests(folder, bytes_of), strict=True)
    return {name: {"bytes": size, "sha256": digest} for (name, size), digest in hashed}


@dataclass(frozen=True)
class Bundle:
    """An opened bundle; its parts are read when they are asked for."""

    folder: Path
    manifest: Manifest

    @classmethod
    def load(cls, folder: Path | str, verify: bool = True) -> Bundle:
        """Opens a bundle and refuses one that is not whole.

        Args:
            folder: where it lies. A link is followed once, so that a new target does not mix two bundles.
            verify: compare the checksum of every file, about a second a gigabyte; sizes and origins are always compared.

        Raises:
            BundleError: naming the file that is missing, damaged or of another bundle, or the two parts that do not belong together.
        """
        folder = Path(folder).resolve()
        bundle = cls(folder, Manifest.load(folder))
        bundle._check_names()
        bundle._check_origins()
        bundle._check_sizes()
        if verify:
            bundle._check_digests()
        return bundle

    def _check_names(self) -> None:
        found = sizes(self.folder).keys() - {MANIFEST}
        for name in sorted(self.manifest.files.keys() - found):
            raise BundleError(f"{self.folder / name} is missing from the bundle. {_REPAIR}")
        for name in sorted(found - self.manifest.files.keys()):
            if not Path(name).name.startswith("."):
                raise BundleError(f"{self.folder / name} is not part of this bundle, and a bundle never changes. Remove the file")

    @cached_property
    def bridge(self) -> Bridge | None:
        """The two models, where the query tower of one searches the index of another.

        Raises:
            BundleError: the bridge does not end at this index.
        """
        return read_bridge(self.folder, self.manifest.model_fingerprint, self.manifest.conditions.get(BRIDGE))

    @property
    def _asking(self) -> Path:
        """Where the parts of the query side lie."""
        return self.folder if self.bridge is None else self.folder / BRIDGE

    def _check_origins(self) -> None:
        _ = self.bridge
        model, vectors = self.manifest.model_fingerprint, self.manifest.vectors_fingerprint
        of_vectors, of_index = self._origin(VECTORS_ORIGIN), self._origin(INDEX_ORIGIN)
        if of_vectors.get("model") != model or of_vectors.get("sha256") != vectors:
            raise BundleError(
                f"{self.folder}: {VECTORS} was made by model {of_vectors.get('model')}, but {QUERY_WEIGHTS} and {ITEM_WEIGHTS} are model "
                f"{model}. A query tower never searches vectors of another item tower. {_REPAIR}"
            )
        if of_index != {"model": model, "vectors": vectors}:
            raise BundleError(
                f"{self.folder}: {INDEX}/ was built from vectors {of_index.get('vectors')} of model {of_index.get('model')}, but {VECTORS} "
                f"holds vectors {vectors} of model {model}. A query tower never searches an index of another item tower. {_REPAIR}"
            )

    def _origin(self, name: str) -> dict[str, Any]:
        try:
            origin: dict[str, Any] = json.loads((self.folder / name).read_text(encoding="utf-8"))
            return dict(origin)
        except (ValueError, TypeError) as error:
            raise BundleError(f"{self.folder / name} is damaged: {error}. {_REPAIR}") from error

    def _check_sizes(self) -> None:
        for name, expected in self.manifest.files.items():
            size = (self.folder / name).stat().st_size
            if size != expected["bytes"]:
                raise BundleError(
                    f"{self.folder / name} has {size} bytes, not {expected['bytes']}: damaged, or of another bundle. {_REPAIR}"
                )

    def _check_digests(self) -> None:
        files = self.manifest.files
        for (name, expected), digest in zip(files.items(), digests(self.folder, files), strict=True):
            if digest != expected["sha256"]:
                raise BundleError(
                    f"{self.folder / name} is damaged, or of another bundle: its checksum is not that of {MANIFEST}. {_REPAIR}"
                )

    def load_towers(self, allow: Sequence[str] = ()) -> TwoTower | None:
        """The towers with their weights, in evaluation mode; None where the vectors came ready-made.

        Args:
            allow: module prefixes of components of one's own.

        Raises:
            BundleError: the weights do not fit the towers that the manifest describes.
        """
        if self.manifest.model is None:
            return None
        towers = _towers(self.folder, self.manifest.model, allow)
        if self.bridge is None:
            return towers
        asking = _towers(self._asking, json.loads((self._asking / MODEL).read_text(encoding="utf-8")), allow)
        return Bridged(asking, towers, torch.from_numpy(np.load(self._asking / MAP, allow_pickle=False))).eval()

    @cached_property
    def item_vectors(self) -> FloatArray:
        """``(items, dim)``, memory-mapped, read only."""
        vectors: FloatArray = np.load(self.folder / VECTORS, mmap_mode="r", allow_pickle=False)
        return vectors

    @cached_property
    def query_vectors(self) -> FloatArray:
        """``(queries, dim)`` ready-made vectors of the known queries, memory-mapped; only where there are no towers."""
        vectors: FloatArray = np.load(self.folder / QUERY_VECTORS, mmap_mode="r", allow_pickle=False)
        return vectors

    @cached_property
    def item_columns(self) -> tuple[str, ...]:
        """Columns of the items: ``id``, features and whatever else the source had."""
        return tuple(pl.read_parquet_schema(self.folder / ITEMS))

    @cached_property
    def item_ids(self) -> list[str]:
        """Ids of the items as text, in row order."""
        return self.items("id")["id"].cast(pl.String).to_list()

    def items(self, *columns: str) -> pl.DataFrame:
        """Some raw columns of the items (all, if none is named), in row order."""
        return pl.read_parquet(self.folder / ITEMS, columns=list(columns) or None)

    @cached_property
    def queries(self) -> pl.DataFrame:
        """Known queries: ``id``, last known raw features, history."""
        return pl.read_parquet(self._asking / QUERIES)

    @cached_property
    def taken(self) -> Ragged:
        """Item rows that each known query had before, memory-mapped."""
        return load_ragged(self._asking, TAKEN)

    @cached_property
    def featurizer(self) -> Featurizer:
        """What turns raw columns into features; of queries for the tower that asks, of items for the one that made the vectors."""
        own, asking = _featurizer(self.folder), _featurizer(self._asking)
        return replace(own, queries=asking.queries, context=asking.context, history=asking.history)

    @cached_property
    def reference(self) -> Reference | None:
        """Validation queries as they were answered when it was made, and a sample of its items; None where it was made without."""
        return load_reference(self.folder, self.item_vectors)

    @cached_property
    def questions(self) -> Questions | None:
        """The validation queries of the reference, raw, with their answers; None where it was made without."""
        return load_questions(self.folder)

    def load_catalogue(self) -> Catalogue:
        """The items as histories name them, encoded; with their token ids where histories read them."""
        catalogue = Catalogue.load(self._asking / CATALOGUE, _featurizer(self._asking).scales)
        tokens = self._asking / ITEM_TOKENS
        if not tokens.is_dir():
            return catalogue
        columns = {name: load_ragged(tokens, str(number)) for number, name in enumerate(catalogue.table.text_names)}
        return replace(catalogue, table=replace(catalogue.table, tokens=columns))

    def load_index(self) -> VectorIndex:
        """The index over the item vectors.

        Raises:
            BundleError: its size or metric is not that of the manifest.
        """
        index = load_index(self.folder / INDEX, vectors=self.item_vectors)
        found, expected = (index.size, index.dim, index.metric), (self.manifest.num_items, self.manifest.dim, self.manifest.metric)
        if found != expected:
            raise BundleError(f"{self.folder / INDEX} has (items, dim, metric) = {found}, {MANIFEST} says {expected}. {_REPAIR}")
        return index


def _towers(folder: Path, model: Mapping[str, Any], allow: Sequence[str]) -> TwoTower:
    assets, text = folder / ENCODER, folder / ITEM_TEXT
    spec = ModelSpec.from_json(model, allow)
    vectors = torch.from_numpy(np.load(text, allow_pickle=False)) if text.exists() else None
    if vectors is not None:
        spec = replace(spec, num_items=len(vectors))
    towers = spec.build(assets if assets.is_dir() else None)
    try:
        load_weights(towers, folder)
    except RuntimeError as error:
        raise BundleError(f"{folder}: the weights do not fit the towers of {MANIFEST}: {error}") from error
    if vectors is not None:
        towers.set_item_text(vectors)
    return towers.eval()


def _featurizer(folder: Path) -> Featurizer:
    return Featurizer.from_json((folder / FEATURIZER).read_text(encoding="utf-8"))
