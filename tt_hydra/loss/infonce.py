"""InfoNCE: each query picks its positive out of the candidates, and with two sides each positive picks its query."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from tt_hydra.contracts import LossOutput, Targets
from tt_hydra.errors import ConfigError
from tt_hydra.loss.item_side import ItemSide
from tt_hydra.loss.softmax import ManyPositives, softmax_loss
from tt_hydra.loss.tiles import DEFAULT_CHUNK, at_least_float32, check_chunk_size, inverse, tiled_loss


@dataclass(frozen=True, kw_only=True, slots=True)
class InfoNCE:
    """Softmax cross-entropy over shared candidates (van den Oord et al. 2018), two-sided as in CLIP (Radford et al. 2021).

    The value grows with the number of candidates (log of it for random vectors), so losses of different batch sizes are not comparable;
    as a mean over rows its gradient does not grow with the batch.

    Attributes:
        symmetric: average with the direction in which each positive item picks its query among the batch's queries. A query that has the
            same item as positive, or for which the item is excluded, is no negative there. Negatives that are nobody's positive
            take no part in that direction, so it needs a sampler with ``in_batch`` or the whole catalogue.
        positives: ``own``: the example's; other known positives of the query are left out. ``all``: the mean over every known positive of
            the query that is a candidate, each against what is none. Under the whole catalogue a step then learns from all that its queries
            took, for the price of one item each.
        chunk_size: scores held at once, which bounds memory (64 rows are held where there are as many); results do not depend on it
            beyond rounding.
    """

    symmetric: bool = False
    positives: Literal["own", "all"] = "own"
    chunk_size: int = DEFAULT_CHUNK

    def __post_init__(self) -> None:
        check_chunk_size(self.chunk_size)
        if self.positives not in ("own", "all"):
            raise ConfigError(f"loss.positives is {self.positives!r}; allowed: own, all")

    @property
    def uses_temperature(self) -> bool:
        """True."""
        return True

    @property
    def uses_log_q(self) -> bool:
        """False: scores are not corrected for how candidates were sampled."""
        return False

    def build(self) -> InfoNCE:
        """Itself: it has no weights."""
        return self

    def __call__(self, queries: Tensor, items: Tensor, targets: Targets, temperature: Tensor) -> LossOutput:
        """The weighted mean over the rows that have a negative; all figures but the loss are those of the query's direction.

        Args:
            queries: ``(batch, dim)``.
            items: ``(items, dim)``.
            targets: positives, exclusions and weights.
            temperature: scalar.
        """
        queries, items = at_least_float32(queries), at_least_float32(items)
        forward = self._query_side(queries, items, targets, temperature)
        if not self.symmetric:
            return forward
        backward = softmax_loss(items[targets.positive], queries, ItemSide.of(targets), temperature, chunk_size=self.chunk_size)
        return dataclasses.replace(forward, loss=(forward.loss + backward.loss) / 2)

    def _query_side(self, queries: Tensor, items: Tensor, targets: Targets, temperature: Tensor) -> LossOutput:
        if self.positives == "own":
            return softmax_loss(queries, items, targets, temperature, chunk_size=self.chunk_size)
        scale = inverse(temperature, queries)
        objective = ManyPositives(queries.detach(), items.detach(), targets.known, scale.detach())
        return tiled_loss(queries, items, targets, objective, scale=scale, chunk_size=self.chunk_size)
