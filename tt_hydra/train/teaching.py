"""A teacher's scores of a training's pairs: of positives, and of negatives that were drawn for one query each."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tt_hydra.contracts import Drawn, FloatArray, IntArray, RatePairs, Teacher, TrainingView
from tt_hydra.data.dataset import Dataset
from tt_hydra.data.download import cache_folder
from tt_hydra.train.texts import texts_of_both_sides

logger = logging.getLogger(__name__)

RECORD = np.dtype([("pair", "<i8"), ("score", "<f4")])
FOLDER = "teacher"


@dataclass(slots=True)
class Scores:
    """Scores of pairs by number, in memory and in a file that only grows; of two records of a pair the first counts.

    Attributes:
        path: the file.
        pairs: ascending.
        scores: of these.
    """

    path: Path
    pairs: IntArray
    scores: FloatArray

    @classmethod
    def open(cls, path: Path) -> Scores:
        """What a file holds; what a killed process left of a record at its end is cut off."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        whole = path.stat().st_size // RECORD.itemsize
        with path.open("r+b") as file:
            file.truncate(whole * RECORD.itemsize)
        records = np.fromfile(path, RECORD)
        pairs, first = np.unique(records["pair"], return_index=True)
        return cls(path, pairs.astype(np.int64), records["score"][first].astype(np.float32))

    def missing(self, pairs: IntArray) -> IntArray:
        """Those that are not known, ascending, each once."""
        return np.setdiff1d(pairs, self.pairs)

    def add(self, pairs: IntArray, scores: FloatArray) -> None:
        """Takes up scores of pairs that were missing; they are in the file when this returns."""
        records = np.empty(len(pairs), RECORD)
        records["pair"], records["score"] = pairs, scores
        with self.path.open("ab", buffering=0) as file:
            file.write(records.tobytes())
        order = np.argsort(every := np.concatenate([self.pairs, pairs]), kind="stable")
        self.pairs, self.scores = every[order], np.concatenate([self.scores, scores])[order]

    def of(self, pairs: IntArray) -> FloatArray:
        """Scores of known pairs."""
        found: FloatArray = self.scores[np.searchsorted(self.pairs, pairs)]
        return found


@dataclass(frozen=True, slots=True)
class Teaching:
    """Asks a teacher for what neither the data nor an earlier question has told.

    Attributes:
        rate: the teacher.
        questions: texts.
        items: texts.
        asked: ``(examples,)`` question of each example.
        positives: ``(examples,)`` item of each.
        given: ``(examples,)`` the data's scores of them, or None.
        scores: what is known.
    """

    rate: RatePairs
    questions: Sequence[str]
    items: Sequence[str]
    asked: IntArray
    positives: IntArray
    given: FloatArray | None
    scores: Scores

    def of_examples(self, examples: IntArray) -> FloatArray:
        """``(examples,)`` scores of examples and their positives."""
        found = np.full(len(examples), np.nan, np.float32) if self.given is None else self.given[examples]
        return self._filled(found, self.asked[examples], self.positives[examples])

    def of_drawn(self, drawn: Drawn, examples: IntArray) -> Drawn:
        """The same with a score wherever a row was drawn for one query."""
        own = drawn.owner >= 0
        scores = drawn.teacher.copy()
        scores[own] = self._filled(scores[own], self.asked[examples[drawn.owner[own]]], drawn.rows[own])
        return replace(drawn, teacher=scores)

    def _filled(self, scores: FloatArray, questions: IntArray, rows: IntArray) -> FloatArray:
        unknown = np.isnan(scores)
        pairs = questions[unknown] * len(self.items) + rows[unknown]
        missing = self.scores.missing(pairs)
        if len(missing):
            asked, item = np.divmod(missing, len(self.items))
            self.scores.add(missing, self.rate([self.questions[each] for each in asked], [self.items[each] for each in item]))
        filled = scores.copy()
        filled[unknown] = self.scores.of(pairs)
        return filled


def teaching(teacher: Teacher | None, dataset: Dataset) -> Teaching | None:
    """The teacher of a training, its scores of all positives made; None where the data alone teaches.

    Raises:
        ConfigError: a side has no text to be read.
    """
    rate = None if teacher is None else teacher.build()
    if rate is None:
        return None
    training = dataset.training_view()
    questions, items = texts_of_both_sides(training, "a cross-encoder", "use teacher=given, or declare a feature of kind text")
    path = cache_folder() / FOLDER / f"{_key(rate.fingerprint, questions, items)}.scores"
    train = dataset.train
    made = Teaching(rate, questions, items, training.questions, train.item_rows, train.teacher, Scores.open(path))
    logger.info("the teacher rates %d training pairs; %d pairs are known already", len(train), len(made.scores.pairs))
    made.of_examples(np.arange(len(train)))
    _rate_given(made, dataset, training)
    return made


def _rate_given(made: Teaching, dataset: Dataset, training: TrainingView) -> None:
    """The negatives that the data names, all at once rather than batch by batch."""
    negatives = dataset.train.negatives
    if negatives is None:
        return
    rows = negatives.values.astype(np.int64)
    owner = negatives.owners()
    unknown = np.full(len(rows), np.nan, np.float32)
    scores = unknown if dataset.train.negatives_teacher is None else dataset.train.negatives_teacher
    nothing: npt.NDArray[np.int64] = np.zeros(len(rows), np.int64)
    made.of_drawn(Drawn(rows=rows, origin=nothing, owner=owner, teacher=np.asarray(scores)), np.arange(len(negatives)))


def _key(fingerprint: str, *texts: Sequence[str]) -> str:
    digest = hashlib.sha256(fingerprint.encode())
    for column in texts:
        digest.update(f"{len(column)};".encode())
        for text in column:
            digest.update(hashlib.sha256(text.encode()).digest())
    return digest.hexdigest()[:32]
