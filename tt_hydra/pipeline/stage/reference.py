"""The reference of a bundle: its validation queries, or a sample of them, and how it answers them. Never a test query."""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl

from tt_hydra.artifact.reference import DEPTH, Asked, Questions, sampled
from tt_hydra.contracts import FloatArray, IntArray, Ragged, VectorIndex
from tt_hydra.data.dataset import Dataset
from tt_hydra.data.unknown import unknown_values
from tt_hydra.pipeline.settings import RunSettings
from tt_hydra.pipeline.stage import index as indexing
from tt_hydra.pipeline.stage.embed import given_parts, given_share, load_vectors, queries_file
from tt_hydra.pipeline.stage.folders import Folders

PART: Literal["valid"] = "valid"


def reference(settings: RunSettings, folders: Folders, dataset: Dataset) -> Asked | None:
    """The validation queries of a run with their answers and what its index finds for them; None where there are none."""
    vectors, index = load_vectors(folders.embed, queries_file(PART)), indexing.load(folders.embed, folders.index)
    if not len(vectors):
        return None
    if dataset.vectors is None:
        return asked(dataset, vectors, index, settings.evaluate.exclude_seen)
    share = given_share(settings.data)
    return _given(dataset, given_parts(dataset.num_queries, share, settings.seed)[PART], vectors, index)


def asked(dataset: Dataset, vectors: FloatArray, index: VectorIndex, exclude_seen: bool) -> Asked:
    """The validation queries of a data set, or a sample of them.

    Args:
        dataset: whose validation part it is.
        vectors: ``(examples, dim)`` of all its queries.
        index: what answers them.
        exclude_seen: whether items that a query had before are no answer.
    """
    block, chosen = dataset.eval_part(PART), sampled(len(vectors))
    seen = _ids(dataset, block.seen.take(chosen)) if exclude_seen else _nothing(len(chosen))
    relevant = _ids(dataset, block.relevant.take(chosen))
    questions = Questions(records=dataset.example_records(PART, chosen), relevant=relevant, exclude=seen)
    unknown, values = unknown_values(dataset.featurizer, questions.records, dataset.catalogue.rows_of)
    return _answered(questions, vectors[chosen], index, unknown / max(1, values))


def _given(dataset: Dataset, rows: IntArray, vectors: FloatArray, index: VectorIndex) -> Asked:
    """Queries that came as vectors: they are known by id, and nobody says what answers them."""
    chosen = sampled(len(vectors))
    records = dataset.query_ids.gather(rows[chosen]).to_frame()
    return _answered(Questions(records=records, relevant=_nothing(len(chosen)), exclude=_nothing(len(chosen))), vectors[chosen], index, 0.0)


def _answered(questions: Questions, vectors: FloatArray, index: VectorIndex, unknown_share: float) -> Asked:
    vectors = np.ascontiguousarray(vectors)
    return Asked(questions=questions, vectors=vectors, scores=index.search(vectors, DEPTH).scores, unknown_share=unknown_share)


def _ids(dataset: Dataset, rows: Ragged) -> pl.Series:
    """Lists of item ids."""
    ids = dataset.item_ids.gather(rows.values.astype(np.int64))
    owner = rows.owners()
    lists = pl.DataFrame({"owner": owner, "ids": ids}).group_by("owner", maintain_order=True).agg("ids")
    every = pl.DataFrame({"owner": np.arange(len(rows))}).join(lists, on="owner", how="left", maintain_order="left")
    return every["ids"].fill_null([])


def _nothing(size: int) -> pl.Series:
    return pl.Series([[]] * size, dtype=pl.List(pl.String))
