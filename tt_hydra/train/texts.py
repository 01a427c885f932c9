"""The texts that a model beside the towers reads: all of the training's questions and of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence

from tt_hydra.contracts import TrainingView
from tt_hydra.errors import ConfigError


def texts_of_both_sides(training: TrainingView, reader: str, instead: str) -> tuple[Sequence[str], Sequence[str]]:
    """The questions' texts and the items'.

    Args:
        training: of both.
        reader: who reads them, for the message.
        instead: what a user may do where there are none.

    Raises:
        ConfigError: a side has no text to be read.
    """
    read = []
    for side, texts in (("query", training.question_texts), ("item", training.item_texts)):
        if texts is None:
            raise ConfigError(f"{reader} reads texts, and the {side} side has none: {instead}")
        read.append(texts())
    return read[0], read[1]
