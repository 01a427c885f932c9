"""The softmax with logQ added instead of subtracted, as a well-known library once released it: an arm of study_logq.py, of no other use."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from tt_hydra.contracts import LossOutput, Targets
from tt_hydra.loss.softmax import softmax_loss
from tt_hydra.loss.tiles import DEFAULT_CHUNK


@dataclass(frozen=True, kw_only=True, slots=True)
class WrongSign:
    """Sampled softmax whose correction has the wrong sign."""

    chunk_size: int = DEFAULT_CHUNK

    @property
    def uses_temperature(self) -> bool:
        return True

    @property
    def uses_log_q(self) -> bool:
        return True

    def build(self) -> WrongSign:
        return self

    def __call__(self, queries: Tensor, items: Tensor, targets: Targets, temperature: Tensor) -> LossOutput:
        turned = replace(targets, log_q=-targets.log_q)
        return softmax_loss(queries, items, turned, temperature, chunk_size=self.chunk_size, corrected="all")
