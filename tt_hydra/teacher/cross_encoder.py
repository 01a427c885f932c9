"""A cross-encoder as the teacher: it reads question and item together, which no tower can."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tt_hydra.contracts import FloatArray
from tt_hydra.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class CrossEncoder:
    """Rates pairs by a sentence-transformers CrossEncoder: each pair once, the result kept in the cache folder.

    A score that the data gives goes before the model's.

    Attributes:
        model: name or folder of the model.
        max_length: tokens of question and item together; the rest is cut. None: the model's own.
        batch_size: pairs rated at once.
    """

    model: str | None = None
    max_length: int | None = None
    batch_size: int = 32

    def __post_init__(self) -> None:
        for name in ("batch_size", "max_length"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"teacher.{name} must be at least 1; got {value}")

    def build(self) -> Rater:
        """The model, loaded.

        Raises:
            ConfigError: none is named, it cannot be read, or it gives more than one score.
        """
        if self.model is None:
            raise ConfigError("teacher.model must be given: the name or folder of a sentence-transformers CrossEncoder")
        from sentence_transformers import CrossEncoder as Model  # noqa: PLC0415

        try:
            model = Model(self.model, max_length=self.max_length)
        except (OSError, ValueError) as error:
            raise ConfigError(f"teacher.model={self.model} cannot be read as a CrossEncoder: {error}") from error
        if model.num_labels != 1:
            raise ConfigError(f"teacher.model={self.model} gives {model.num_labels} scores for a pair; a teacher gives one")
        return Rater(model, self.batch_size, self.max_length)


class Rater:
    """A loaded cross-encoder.

    Attributes:
        fingerprint: hash of its weights and of the length that it reads.
    """

    def __init__(self, model: Any, batch_size: int, max_length: int | None) -> None:
        self._model, self._batch_size = model, batch_size
        digest = hashlib.sha256(str(max_length).encode())
        for name, tensor in sorted(model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
        self.fingerprint = digest.hexdigest()

    def __call__(self, questions: Sequence[str], items: Sequence[str]) -> FloatArray:
        """``(pairs,)`` scores of pairs of texts, as the model gives them before any activation."""
        from torch.nn import Identity  # noqa: PLC0415

        pairs = list(zip(questions, items, strict=True))
        if not pairs:
            return np.empty(0, np.float32)
        scores = self._model.predict(pairs, batch_size=self._batch_size, activation_fn=Identity(), show_progress_bar=False)
        return np.asarray(scores, np.float32)
