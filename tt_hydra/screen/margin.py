"""False negatives by the towers' own similarities."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tt_hydra.screen.similarity import Kind, SimilarityScreen, check_margin, screen_above


@dataclass(frozen=True, kw_only=True, slots=True)
class Margin:
    """Leaves out candidates that the towers in training put above the positive by a margin (as the guide of GISTEmbed, Solatorio 2024).

    The towers judge themselves: whatever they rank far above the positive, they no longer learn to put below it. The margin is therefore
    negative by default, which leaves out only what lies clearly above; with towers from random weights rather use a guide.

    Attributes:
        margin: a candidate is left out above ``similarity of the positive - margin``.
        kind: ``absolute`` in units of the similarity; ``relative`` as a share of the positive's, whatever its sign is.
    """

    margin: float = -0.1
    kind: Kind = "absolute"

    def __post_init__(self) -> None:
        check_margin(self.margin)

    def encoder(self) -> None:
        """None: it reads no other model's vectors."""

    def build(self, queries: Tensor, items: Tensor, guide: tuple[Tensor, Tensor] | None, positive: Tensor) -> SimilarityScreen:
        """The screen of a step.

        Args:
            queries: ``(batch, dim)`` of the towers; no gradient goes through them here.
            items: ``(items, dim)`` likewise.
            guide: not read.
            positive: ``(batch,)`` each query's positive.
        """
        return screen_above(queries, items, positive, self.margin, self.kind)
