"""When a catalogue that changes should be built anew: measured shares of it, and how much its index still finds."""

from __future__ import annotations

from dataclasses import dataclass

from tt_hydra.contracts import Health
from tt_hydra.errors import ConfigError

FALL = 0.05
"""So far must live recall have fallen below what the index had when it was built: building it anew gives no more than that."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Compaction:
    """Bounds of a catalogue that is not built anew, and what becomes of the versions before it.

    Attributes:
        dead_share: rows that are deleted or replaced, among all rows.
        delta_share: rows beside the index, among all rows.
        delta_rows: rows beside the index; each search compares with all of them.
        imbalance: of the lists of the index, ``nlist * sum(size^2) / (sum size)^2``; 1 where all are of one length.
        recall: the lower end of the interval of live recall against exact search; less than what the index had when it was built.
        least_rows: dead rows and rows beside the index together: below so many, nothing is worth the work but poor recall.
        keep: versions that stay when the catalogue was built anew, the newest; the current and the previous one always do. None for all.
    """

    dead_share: float = 0.3
    delta_share: float = 0.2
    delta_rows: int = 100_000
    imbalance: float = 10.0
    recall: float = 0.9
    least_rows: int = 1000
    keep: int | None = 10

    def __post_init__(self) -> None:
        for name in ("dead_share", "delta_share", "recall"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"compaction.{name}={getattr(self, name)}: a share from 0 to 1")
        for name, least in (("delta_rows", 1), ("imbalance", 1), ("least_rows", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"compaction.{name}={getattr(self, name)}: at least {least}")
        if self.keep is not None and self.keep < 1:
            raise ConfigError(f"compaction.keep={self.keep}: at least 1, or null to keep every version")


def due(health: Health, bounds: Compaction, recall_low: float | None = None, recall_built: float | None = None) -> str | None:
    """Why a catalogue in this state should be built anew; None where it need not.

    Args:
        health: its state.
        bounds: what is let be.
        recall_low: lower end of the interval of its recall on live traffic; None where nobody measures it.
        recall_built: recall that its index had when it was built; None where that is not known.
    """
    changed = health.dead + health.delta
    least = bounds.recall if recall_built is None else min(bounds.recall, recall_built - FALL)
    if changed and recall_low is not None and recall_low < least:
        return f"live recall may be as low as {recall_low:.3f}, below {least:g}"
    if not changed or changed < bounds.least_rows:
        return None
    dead, delta, uneven = health.dead_share, health.delta_share, health.imbalance or 1.0
    reasons = (
        (dead > bounds.dead_share, f"{dead:.0%} of the rows are dead, more than {bounds.dead_share:.0%}"),
        (delta > bounds.delta_share, f"{delta:.0%} of the rows are beside the index, more than {bounds.delta_share:.0%}"),
        (health.delta > bounds.delta_rows, f"{health.delta:,} rows are beside the index, more than {bounds.delta_rows:,}"),
        (uneven > bounds.imbalance, f"the imbalance of the index's lists is {uneven:.1f}, more than {bounds.imbalance:g}"),
    )
    return next((reason for exceeded, reason in reasons if exceeded), None)
