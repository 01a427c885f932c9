"""The softmax over a query's candidates that several losses share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from tt_hydra.contracts import LossOutput
from tt_hydra.loss.tiles import DEFAULT_CHUNK, Candidates, Slopes, Tile, effective_number, effective_of, inverse, softmax, tiled_loss

Corrected = Literal["none", "negatives", "all"]
"""Whose logits are lowered by the log sampling probability."""


def softmax_loss(
    queries: Tensor,
    items: Tensor,
    targets: Candidates,
    temperature: Tensor,
    *,
    chunk_size: int = DEFAULT_CHUNK,
    corrected: Corrected = "none",
) -> LossOutput:
    """Weighted mean of ``-log softmax(queries @ items.T / temperature - log_q)[positive]`` over the rows that have a negative.

    Args:
        queries: ``(batch, dim)``.
        items: ``(items, dim)``.
        targets: positives, exclusions, weights, sampling probabilities.
        temperature: scalar, above 0.
        chunk_size: scores held at once.
        corrected: from which candidates' logits ``log_q`` is subtracted; with ``none`` it is not read.
    """
    objective = CrossEntropy(targets, corrected)
    return tiled_loss(queries, items, targets, objective, scale=inverse(temperature, queries), chunk_size=chunk_size)


@dataclass(frozen=True, slots=True)
class CrossEntropy:
    """``log(1 + sum over negatives of exp(logit - positive's logit))``, which is ``-log softmax`` at the positive."""

    targets: Candidates
    corrected: Corrected = "none"

    def __call__(self, tile: Tile) -> Slopes:
        """The tile's losses, slopes and effective numbers of negatives, which are those without correction."""
        logits, positive, effective = tile.logits, tile.positive, None
        if self.corrected != "none":
            effective = effective_number(logits)
            negatives, positives = self.targets.offset(tile.rows)
            logits.sub_(negatives.to(logits))
            if self.corrected == "all":
                positive = positive - positives.to(positive)
        share, normaliser = softmax(logits)
        if effective is None:
            effective = effective_of(logits, share, normaliser)
        wrong = torch.sigmoid(normaliser - positive)
        return Slopes(softplus(normaliser - positive), share.mul_(wrong[:, None]), -wrong, effective)


@dataclass(frozen=True, slots=True)
class ManyPositives:
    """``CrossEntropy``, averaged over all positives of a row: each against the row's negatives, which are the same for all of them.

    Attributes:
        queries: ``(batch, dim)``.
        items: ``(items, dim)``.
        known: ``(pairs, 2)`` (query, column) of known positives, by ascending query; may hold the row's own positive.
        scale: what similarities are multiplied by.
    """

    queries: Tensor
    items: Tensor
    known: Tensor
    scale: Tensor

    def __call__(self, tile: Tile) -> Slopes:
        """The tile's losses, slopes and effective numbers of negatives."""
        row, column = self._others(tile)
        logits = self.scale * torch.linalg.vecdot(self.queries[row + tile.rows.start], self.items[column])
        share, normaliser = softmax(tile.logits)
        effective = effective_of(tile.logits, share, normaliser)
        many = 1.0 / (1 + torch.bincount(row, minlength=len(normaliser))).to(logits)
        own, other = normaliser - tile.positive, normaliser[row] - logits
        losses = softplus(own).index_add(0, row, softplus(other)) * many
        wrong, wrongs = torch.sigmoid(own), torch.sigmoid(other)
        negative = share.mul_((wrong.index_add(0, row, wrongs) * many)[:, None])
        negative[row, column] = -wrongs * many[row]
        return Slopes(losses, negative, -wrong * many, effective)

    def _others(self, tile: Tile) -> tuple[Tensor, Tensor]:
        """Row within the tile and column of each known positive but the rows' own."""
        ends = torch.tensor([tile.rows.start, tile.rows.stop], device=self.known.device)
        first, last = torch.searchsorted(self.known[:, 0].contiguous(), ends).tolist()
        row, column = self.known[first:last, 0] - tile.rows.start, self.known[first:last, 1]
        other = column != tile.column[row, 0]
        return row[other], column[other]
