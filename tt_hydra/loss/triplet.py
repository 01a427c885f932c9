"""Triplet loss: the positive above negatives by a margin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tt_hydra.contracts import LossOutput, Targets
from tt_hydra.errors import ConfigError
from tt_hydra.loss.tiles import DEFAULT_CHUNK, MASKED, Slopes, Tile, check_chunk_size, tiled_loss


@dataclass(frozen=True, kw_only=True, slots=True)
class Triplet:
    """``max(0, margin - s_positive + s_negative)`` on similarities, with cosine the triplet loss of FaceNet (Schroff et al. 2015).

    Attributes:
        margin: by how much the positive shall be more similar than a negative.
        negatives: ``hardest``: the most similar one; ``semi_hard``: the most similar one of those that lie below the positive but within
            the margin, nothing where there is none; ``all``: the mean over all.
        chunk_size: scores held at once, which bounds memory (64 rows are held where there are as many); results do not depend on it
            beyond rounding.
    """

    margin: float = 0.2
    negatives: Literal["hardest", "semi_hard", "all"] = "semi_hard"
    chunk_size: int = DEFAULT_CHUNK

    def __post_init__(self) -> None:
        check_chunk_size(self.chunk_size)
        if not self.margin > 0:
            raise ConfigError(f"loss.margin is by how much the positive shall lie above a negative, more than 0; got {self.margin}")

    @property
    def uses_temperature(self) -> bool:
        """False: the margin is in units of the similarity."""
        return False

    @property
    def uses_log_q(self) -> bool:
        """False: pairs are not normalised over candidates."""
        return False

    def build(self) -> Triplet:
        """Itself: it has no weights."""
        return self

    def __call__(self, queries: Tensor, items: Tensor, targets: Targets, temperature: Tensor) -> LossOutput:
        """The weighted mean over the rows that have a negative; without an effective number of negatives.

        Args:
            queries: ``(batch, dim)``.
            items: ``(items, dim)``.
            targets: positives, exclusions and weights.
            temperature: not read.
        """
        objective = self._all if self.negatives == "all" else self._one
        return tiled_loss(queries, items, targets, objective, scale=temperature.new_ones(()), chunk_size=self.chunk_size)

    def _all(self, tile: Tile) -> Slopes:
        hinge = tile.logits.sub_(tile.positive[:, None] - self.margin).relu_()
        count = (~tile.excluded).sum(dim=1).clamp(min=1)
        losses = hinge.sum(dim=1) / count
        slope = (hinge > 0).to(hinge).div_(count[:, None])
        return Slopes(losses, slope, -slope.sum(dim=1), None)

    def _one(self, tile: Tile) -> Slopes:
        logits = tile.logits
        if self.negatives == "semi_hard":
            logits = logits.masked_fill(logits >= tile.positive[:, None], MASKED)
        nearest, column = logits.max(dim=1)
        hinge = (nearest - tile.positive + self.margin).relu()
        active = (hinge > 0).to(hinge)
        slope = torch.zeros_like(logits).scatter_(1, column[:, None], active[:, None])
        return Slopes(hinge, slope, -active, None)
