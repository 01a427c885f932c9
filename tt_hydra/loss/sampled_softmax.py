"""Sampled softmax: the candidates stand for the whole catalogue, corrected for how often each of them is sampled."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tt_hydra.contracts import LossOutput, Targets
from tt_hydra.loss.logits import DEFAULT_CHUNK, check_chunk_size, softmax_loss


@dataclass(frozen=True, kw_only=True, slots=True)
class SampledSoftmax:
    """Softmax cross-entropy with logQ correction (Bengio and Senecal 2008; Yi et al. 2019 for batches).

    Each score is ``similarity / temperature - log_q``, for the positive as for the negatives: with negatives drawn from ``q`` the
    gradient approaches that of the softmax over all items as their number grows. The correction belongs to training alone: a trained
    model ranks by its similarities. It cannot change anything under uniform negatives or the whole catalogue, where ``q`` is constant.

    Attributes:
        chunk_size: scores held at once, which bounds memory; results do not depend on it beyond rounding.
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
        """True."""
        return True

    def __call__(self, queries: Tensor, items: Tensor, targets: Targets, temperature: Tensor) -> LossOutput:
        """The weighted mean over the rows that have a negative.

        Args:
            queries: ``(batch, dim)``.
            items: ``(items, dim)``.
            targets: positives, exclusions, weights and log sampling probabilities.
            temperature: scalar.
        """
        return softmax_loss(queries, items, targets, temperature, chunk_size=self.chunk_size, correct=True)
