"""What a version looked like when it was made: questions that were not trained on, their vectors and scores, a sample of its items."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from tt_hydra.artifact.files import write_json
from tt_hydra.contracts import FloatArray, IntArray, Reference

REFERENCE = "reference"
"""Its folder in a bundle."""
LIMIT = 2000
"""Queries, and items, that it holds at most."""
DEPTH = 10
"""Results of each query whose scores it holds."""
_VECTORS, _SCORES, _QUESTIONS, _ABOUT = "queries.npy", "scores.npy", "questions.parquet", "about.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Questions:
    """Questions and what answers them.

    Attributes:
        records: a row for each, raw: ``id`` and whatever the featurizer takes, as it stood when it was asked.
        relevant: by question the ids of the items that answer it; none where there are no labels.
        exclude: by question the ids of the items that it must not get.
    """

    records: pl.DataFrame
    relevant: pl.Series
    exclude: pl.Series

    def __len__(self) -> int:
        return len(self.records)

    def take(self, rows: IntArray) -> Questions:
        """The named questions, in that order."""
        return Questions(records=self.records[rows], relevant=self.relevant.gather(rows), exclude=self.exclude.gather(rows))


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """Questions as a bundle answers them.

    Attributes:
        questions: what was asked.
        vectors: ``(n, dim)`` of the questions.
        scores: ``(n, DEPTH)`` of what the index finds for each, -inf where there is less; nothing is left out.
        unknown_share: share of values that the featurizer does not know among those of a closed set.
    """

    questions: Questions
    vectors: FloatArray
    scores: FloatArray
    unknown_share: float


def sampled(size: int, limit: int = LIMIT) -> IntArray:
    """At most ``limit`` of the numbers below ``size``, ascending; the same ones each time."""
    if size <= limit:
        return np.arange(size)
    return np.sort(np.random.default_rng(0).choice(size, limit, replace=False))


def save_reference(folder: Path, asked: Asked) -> None:
    """Writes ``reference/`` into a bundle's folder."""
    target = folder / REFERENCE
    target.mkdir()
    np.save(target / _VECTORS, asked.vectors)
    np.save(target / _SCORES, asked.scores)
    questions = asked.questions
    columns = [questions.records.to_struct("question"), questions.relevant.alias("relevant"), questions.exclude.alias("exclude")]
    pl.DataFrame(columns).write_parquet(target / _QUESTIONS)
    write_json(target / _ABOUT, {"unknown_share": asked.unknown_share})


def load_reference(folder: Path, items: FloatArray) -> Reference | None:
    """The reference of a bundle, with a sample of its item vectors; None for a bundle without one."""
    source = folder / REFERENCE
    if not source.is_dir():
        return None
    vectors, scores = (np.load(source / name, allow_pickle=False) for name in (_VECTORS, _SCORES))
    about = json.loads((source / _ABOUT).read_text(encoding="utf-8"))
    return Reference(queries=vectors, scores=scores, items=np.asarray(items[sampled(len(items))]), unknown_share=about["unknown_share"])


def load_questions(folder: Path) -> Questions | None:
    """The questions of a bundle's reference; None for a bundle without one."""
    path = folder / REFERENCE / _QUESTIONS
    if not path.is_file():
        return None
    frame = pl.read_parquet(path)
    return Questions(records=frame["question"].struct.unnest(), relevant=frame["relevant"], exclude=frame["exclude"])
