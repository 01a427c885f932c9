"""What a similarity says of a label: an affine map with a scale and a bias of its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from tt_hydra.contracts import LossOutput, Targets
from tt_hydra.loss.tiles import at_least_float32


class _Head(nn.Module):
    """``scale * similarity + bias`` of each query and its positive against the label."""

    def __init__(self, label: str) -> None:
        super().__init__()
        self.scale, self.bias = nn.Parameter(torch.tensor(1.0)), nn.Parameter(torch.tensor(0.0))
        self._label = label

    def forward(self, queries: Tensor, items: Tensor, targets: Targets, temperature: Tensor) -> LossOutput:
        """The weighted mean over the rows that have a label.

        Args:
            queries: ``(batch, dim)``.
            items: ``(items, dim)``.
            targets: positives, labels and weights.
            temperature: not read: the scale is the head's own.
        """
        with torch.autocast(queries.device.type, enabled=False):
            similarity = (at_least_float32(queries) * at_least_float32(items)[targets.positive]).sum(dim=1)
            label = targets.labels[self._label].to(similarity)
            weight = targets.weight.to(similarity) * ~torch.isnan(label)
            losses = self.compare(self.scale * similarity + self.bias, torch.nan_to_num(label))
            total = weight.sum()
            loss = (weight * losses).sum() * torch.where(total > 0, 1.0 / total, 0.0)
        nothing = similarity.new_tensor(torch.nan)
        return LossOutput(loss, similarity.detach().mean(), nothing, nothing)

    def compare(self, predicted: Tensor, label: Tensor) -> Tensor:
        """``(batch,)`` losses."""
        raise NotImplementedError


class Regression(_Head):
    """Squared error."""

    def compare(self, predicted: Tensor, label: Tensor) -> Tensor:
        """``(batch,)`` squared errors."""
        return (predicted - label).square()


class Binary(_Head):
    """Cross-entropy of whether a label reaches a threshold; of the label itself, a probability, where there is none."""

    def __init__(self, label: str, threshold: float | None) -> None:
        super().__init__(label)
        self._threshold = threshold

    def compare(self, predicted: Tensor, label: Tensor) -> Tensor:
        """``(batch,)`` cross-entropies."""
        return binary_cross_entropy_with_logits(
            predicted, label if self._threshold is None else (label >= self._threshold).to(predicted), reduction="none"
        )
