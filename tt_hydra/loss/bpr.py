"""Bayesian personalised ranking: the positive above each negative, pair by pair."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import softplus

from tt_hydra.contracts import LossOutput, Targets
from tt_hydra.loss.tiles import DEFAULT_CHUNK, Slopes, Tile, check_chunk_size, effective_number, inverse, tiled_loss


@dataclass(frozen=True, kw_only=True, slots=True)
class Bpr:
    """Mean over a query's negatives of ``-log sigmoid((s_positive - s_negative) / temperature)`` (Rendle et al. 2009).

    With ``metric=dot temperature.start=1`` it is the loss of the paper, over all candidates instead of one.

    Attributes:
        chunk_size: scores held at once, which bounds memory (64 rows are held where there are as many); results do not depend on it
            beyond rounding.
    """

    chunk_size: int = DEFAULT_CHUNK

    def __post_init__(self) -> None:
        check_chunk_size(self.chunk_size)

    @property
    def uses_temperature(self) -> bool:
        """True."""
        return True

    @property
    def uses_log_q(self) -> bool:
        """False: every negative counts the same."""
        return False

    def build(self) -> Bpr:
        """Itself: it has no weights."""
        return self

    def __call__(self, queries: Tensor, items: Tensor, targets: Targets, temperature: Tensor) -> LossOutput:
        """The weighted mean over the rows that have a negative.

        Args:
            queries: ``(batch, dim)``.
            items: ``(items, dim)``.
            targets: positives, exclusions and weights.
            temperature: scalar.
        """
        return tiled_loss(queries, items, targets, ranked_pairs, scale=inverse(temperature, queries), chunk_size=self.chunk_size)


def ranked_pairs(tile: Tile) -> Slopes:
    """The positive above every negative."""
    effective = effective_number(tile.logits)
    gap = tile.logits.sub_(tile.positive[:, None])
    count = (~tile.excluded).sum(dim=1).clamp(min=1)
    losses = softplus(gap).sum(dim=1) / count
    slope = gap.sigmoid_().div_(count[:, None])
    return Slopes(losses, slope, -slope.sum(dim=1), effective)
