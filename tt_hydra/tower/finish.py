"""From what a tower computed to the vector that is compared: the run's metric, and a bias of each item."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tt_hydra.contracts import Metric, Side
from tt_hydra.errors import ConfigError

TINY = 1e-12


def unit(vectors: Tensor) -> Tensor:
    """Vectors of length 1 in float32; a zero vector stays zero and passes no gradient, one with NaN stays NaN."""
    vectors = vectors.float()
    norms = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    zero = norms <= TINY
    return torch.where(zero, 0.0, vectors / torch.where(zero, 1.0, norms))


@dataclass(frozen=True, slots=True)
class Finish:
    """The last step of both towers.

    With ``item_bias`` the last of the dimensions is the item's bias and 1 for every query, and the others have length 1: the dot product of
    the two is their cosine and the bias, which any index of dot products searches. So an item can be likely for everyone without
    standing near everyone, which a cosine alone does not allow (the item bias of Koren et al. 2009, equation 4).

    Attributes:
        metric: ``cosine`` vectors have length 1.
        item_bias: whether the last dimension is the item's bias.

    Raises:
        ConfigError: a bias under cosine, whose length would be normalised away.
    """

    metric: Metric
    item_bias: bool = False

    def __post_init__(self) -> None:
        if self.item_bias and self.metric != "dot":
            raise ConfigError(
                f"item_bias=true adds a number to the cosine, so vectors are compared by dot product: set metric=dot (got {self.metric})"
            )

    def __call__(self, vectors: Tensor, side: Side) -> Tensor:
        """``(rows, dim)`` in float32, as they are compared."""
        if self.metric == "cosine":
            return unit(vectors)
        if not self.item_bias:
            return vectors.float()
        last = vectors[:, -1:].float()
        return torch.cat([unit(vectors[:, :-1]), torch.ones_like(last) if side == "query" else last], dim=1)
