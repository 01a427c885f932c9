"""Vectors of another model for the training part's questions and the catalogue, by which false negatives are recognised."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tt_hydra.contracts import FloatArray, IntArray, ScreenSpec, TrainingView
from tt_hydra.train.texts import texts_of_both_sides


@dataclass(frozen=True, slots=True)
class GuideVectors:
    """What a guide gave, once for a whole training.

    Attributes:
        questions: ``(questions, width)``.
        items: ``(num_items, width)``.
        asked: ``(examples,)`` question of each example.
    """

    questions: FloatArray
    items: FloatArray
    asked: IntArray

    @property
    def width(self) -> int:
        """Dimension of the vectors."""
        return int(self.items.shape[1])

    def of(self, examples: IntArray, item_rows: IntArray) -> tuple[Tensor, Tensor]:
        """Vectors of some examples' questions and of some items."""
        return torch.from_numpy(self.questions[self.asked[examples]]), torch.from_numpy(self.items[item_rows])


def guide_vectors(screen: ScreenSpec | None, training: TrainingView) -> GuideVectors | None:
    """What the screen's model says of every question and item; None where it asks none.

    Raises:
        ConfigError: a side has no text to be read.
    """
    encode = None if screen is None else screen.encoder()
    if encode is None:
        return None
    queries, items = texts_of_both_sides(training, "the screen's model", "use screen=margin, or screen=none")
    return GuideVectors(encode(queries), encode(items), training.questions)
