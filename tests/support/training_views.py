"""Training parts as samplers see them, for tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tt_hydra.contracts import DrawRequest, Ragged, TrainingView

ITEM_WORDS = ["red", "blue", "green", "small", "large", "round", "wooden", "glass", "iron", "paper"]


def ragged(rows: Sequence[Sequence[int]]) -> Ragged:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return Ragged(np.array([value for row in rows for value in row], np.int64), offsets)


def view_of(counts: Sequence[float], **others: object) -> TrainingView:
    """Four questions with texts; item ``i`` is called by two words that its number chooses; nothing is known but ``others``."""
    values = {
        "counts": np.asarray(counts, np.float32),
        "questions": np.arange(4),
        "known": ragged([[], [], [], []]),
        "question_texts": lambda: ["red round", "blue glass", "green", "paper iron"],
        "item_texts": lambda: [f"{ITEM_WORDS[i % 10]} {ITEM_WORDS[i // 10 % 10]}" for i in range(len(counts))],
        "content": lambda: np.arange(len(counts)),
    }
    return TrainingView(**(values | others))  # type: ignore[arg-type]


def request_of(positives: Sequence[int], given: Ragged | None = None, **others: object) -> DrawRequest:
    """The first examples, one for each positive."""
    return DrawRequest(examples=np.arange(len(positives)), positives=np.array(positives, np.int64), given=given, **others)  # type: ignore[arg-type]
