"""An average whose weights are learned."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tt_hydra.errors import ConfigError
from tt_hydra.pooling.weighting import weighted_sum


@dataclass(frozen=True, kw_only=True, slots=True)
class Attention:
    """Softmax-weighted average; a position's score is ``v . tanh(W x + b)``, learned. It starts as the plain mean (v = 0).

    Source: Lin et al., A structured self-attentive sentence embedding, 2017 (arXiv:1703.03130), one hop.

    Attributes:
        hidden_dim: width of the hidden layer that scores a position.
    """

    hidden_dim: int = 64

    def __post_init__(self) -> None:
        if self.hidden_dim < 1:
            raise ConfigError(f"pooling.hidden_dim is {self.hidden_dim}; it must be at least 1 (64 suits most data)")

    def build(self, dim: int) -> nn.Module:
        """A module that scores vectors of width ``dim``."""
        return AttentionPooling(dim, self.hidden_dim)


class AttentionPooling(nn.Module):
    """See ``Attention``."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(dim, hidden_dim)
        self.score = nn.Linear(hidden_dim, 1, bias=False)
        nn.init.zeros_(self.score.weight)

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """``(rows, length, dim)`` and ``(rows, length)`` become ``(rows, dim)``."""
        scores = self.score(torch.tanh(self.hidden(vectors.to(self.hidden.weight.dtype)))).squeeze(-1)
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        weights = torch.softmax(scores.masked_fill(~mask, torch.finfo(scores.dtype).min), dim=1)
        return weighted_sum(vectors, weights, mask)
