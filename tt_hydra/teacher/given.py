"""The teacher's scores are those that the data gives."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """Scores of pairs, and of the negatives that the data names, from columns of the data."""

    def build(self) -> None:
        """None: there is no model to ask."""
