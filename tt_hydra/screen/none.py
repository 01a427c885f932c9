"""No filter: every candidate that is no known positive is a negative."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class NoScreen:
    """Leaves no candidate out."""

    def encoder(self) -> None:
        """None: it reads no other model's vectors."""

    def build(self, queries: Tensor, items: Tensor, guide: tuple[Tensor, Tensor] | None, positive: Tensor) -> None:
        """None."""
