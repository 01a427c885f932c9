"""evaluate: a bundle measured again, as it is served, on the validation and test parts of its data."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tt_hydra.artifact.bundle import VECTORS, Bundle
from tt_hydra.artifact.resolve import resolve_bundle
from tt_hydra.artifact.store import Store
from tt_hydra.data.dataset import Dataset
from tt_hydra.data.tables import Source
from tt_hydra.errors import ConfigError
from tt_hydra.pipeline.prepared import prepared
from tt_hydra.pipeline.settings import MeasureAgain
from tt_hydra.pipeline.stage import embed as embedding
from tt_hydra.pipeline.stage import evaluate as evaluation
from tt_hydra.pipeline.stage.index import SUMMARY as BUILDING
from tt_hydra.tower.two_tower import TwoTower
from tt_hydra.train.encode import embed_queries

BUILT = ("index/build_s", "index/bytes_per_item")
"""Figures of the index's building: they are the bundle's own."""
BATCH = 256
"""Queries embedded at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateBundleSettings:
    """What is measured, and on which data.

    Attributes:
        bundle: a bundle's or a run's folder, ``latest`` or ``current``.
        data: the source that the bundle was made from.
        seed: of the splits and of the intervals; null takes the bundle's.
        evaluate: how it is measured.
        verify: compare the checksum of every file of the bundle first.
        outputs: root of the runs and of the stage store.
        run_dir: folder for the figures.
        allow_targets: module prefixes of components of your own that the bundle may name.
    """

    bundle: str = "latest"
    data: Source
    seed: int | None = None
    evaluate: MeasureAgain = field(default_factory=MeasureAgain)
    verify: bool = True
    outputs: Path
    run_dir: Path
    allow_targets: tuple[str, ...] = ()


def evaluate(settings: EvaluateBundleSettings) -> Mapping[str, float]:
    """Measures the bundle and writes ``metrics.json`` and the figures of each query into ``run_dir``.

    Raises:
        BundleError: the bundle is missing, incomplete or damaged.
        ConfigError: the bundle was made from other data.
    """
    bundle = Bundle.load(resolve_bundle(settings.bundle, settings.outputs), verify=settings.verify)
    seed = int(bundle.manifest.conditions.get("seed", 0)) if settings.seed is None else settings.seed
    with Store(settings.outputs / "store") as store:
        dataset = prepared(store, settings.data, seed)
        _check_data(bundle, dataset)
        towers = bundle.load_towers(settings.allow_targets)
        dataset = dataset if towers is None else dataset.tokenized(towers.tokenizers)
        with tempfile.TemporaryDirectory() as folder:
            if towers is None:
                vectors = bundle.item_vectors, bundle.query_vectors
                embedding.given(vectors, embedding.given_share(settings.data), seed, Path(folder))
            else:
                _embed(bundle, dataset, towers, Path(folder))
            _tell_building(bundle, Path(folder))

            job = evaluation.Evaluation(
                dataset=dataset,
                towers=towers,
                index=bundle.load_index(),
                embedding=Path(folder),
                building=Path(folder),
                settings=settings.evaluate.settled(bool(bundle.manifest.conditions.get("exclude_seen", True))),
                budget=None,
                seed=seed,
                precision=bundle.manifest.precision,
            )
            evaluation.evaluate(job, settings.run_dir)
    return evaluation.load_metrics(settings.run_dir)


def _check_data(bundle: Bundle, dataset: Dataset) -> None:
    same_items = bundle.item_ids == dataset.item_ids.to_list()
    if not same_items or bundle.featurizer.fingerprint != dataset.featurizer.fingerprint:
        what = "its features" if same_items else "its items"
        raise ConfigError(f"the bundle {bundle.folder} was not made from this data: {what} differ; choose the data and the seed of its run")


def _embed(bundle: Bundle, dataset: Dataset, towers: TwoTower, folder: Path) -> None:
    """Puts the bundle's item vectors and its towers' query vectors where the evaluation looks for them."""
    (folder / embedding.ITEMS).symlink_to(bundle.folder / VECTORS)
    for part in embedding.PARTS:
        vectors = embed_queries(towers, dataset, part, BATCH, bundle.manifest.precision)
        np.save(folder / embedding.queries_file(part), vectors)


def _tell_building(bundle: Bundle, folder: Path) -> None:
    built = {key.removeprefix("index/"): value for key, value in bundle.manifest.measured.items() if key in BUILT}
    (folder / BUILDING).write_text(json.dumps(built), encoding="utf-8")
