"""Sampled softmax: the candidates stand for the whole catalogue, corrected for how often each of them is sampled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from tt_hydra.contracts import LossOutput, Targets
from tt_hydra.loss.softmax import softmax_loss
from tt_hydra.loss.tiles import DEFAULT_CHUNK, check_chunk_size


@dataclass(frozen=True, kw_only=True, slots=True)
class SampledSoftmax:
    """Softmax cross-entropy with logQ correction (Bengio and Senecal 2008; Yi et al. 2019 for batches).

    A negative's score is ``similarity / temperature - log_q``: with negatives drawn from ``q`` the gradient approaches that of the
    softmax over all items as their number grows. The correction belongs to training alone: a trained model ranks by its similarities.
    It cannot change anything under the whole catalogue, where ``q`` is 1.

    The positive is never drawn: it is there with probability 1. Khrylchenko et al. (2025) therefore take it out of the sampled sum and
    weight the row by one minus its probability, without gradient: ``-(1 - p) * (s - log sum over negatives of exp(s_j - log_q_j))``.
    Minimised here is ``log(1 + sum over negatives of exp(s_j - log_q_j - s))``, which has that gradient and is a log likelihood.

    Attributes:
        positive: ``corrected`` subtracts ``log_q`` from the positive's score too, as is usual; ``left_out`` does as told above and needs
            probabilities that are right as such, not up to a factor.
        chunk_size: scores held at once, which bounds memory (64 rows are held where there are as many); results do not depend on it
            beyond rounding.
    """

    positive: Literal["corrected", "left_out"] = "corrected"
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

    def build(self) -> SampledSoftmax:
        """Itself: it has no weights."""
        return self

    def __call__(self, queries: Tensor, items: Tensor, targets: Targets, temperature: Tensor) -> LossOutput:
        """The weighted mean over the rows that have a negative.

        Args:
            queries: ``(batch, dim)``.
            items: ``(items, dim)``.
            targets: positives, exclusions, weights and log sampling probabilities.
            temperature: scalar.
        """
        corrected: Literal["all", "negatives"] = "all" if self.positive == "corrected" else "negatives"
        return softmax_loss(queries, items, targets, temperature, chunk_size=self.chunk_size, corrected=corrected)
