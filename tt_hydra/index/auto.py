"""The index that the budget allows, found by measuring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tt_hydra.errors import IndexSpecError
from tt_hydra.quantization.limits import at_least

Family = Literal["flat", "ivf", "hnsw"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Auto:
    """Proposes indexes for the catalogue, builds them, cheap ones first, tunes and measures them on validation queries, keeps the best.

    With a limit on latency, bytes or build time the best is the one of highest recall within the limits; with ``recall_vs_exact`` alone
    the quickest that keeps it; without a budget the quickest that keeps a recall of .99. A budget that nothing meets is refused, with
    what would have to give way. What is saved is the chosen index with its search parameters: whoever serves it knows nothing of this.

    Attributes:
        families: kinds that may be proposed, of ``flat``, ``ivf`` and ``hnsw``; None for all.
        seconds: for proposing, building and measuring; what is not built by then is left out. The choice itself comes on top.
        queries: validation queries that candidates are tuned on, at most; as many others check the winner.
        threads: threads that insert into graphs; None for all that there are. More than one: another graph on each build.
        prefixes: numbers of leading dimensions that are tried too, for vectors whose prefixes were trained; None for those of
            ``loss=matryoshka``.
    """

    families: tuple[Family, ...] | None = None
    seconds: float = 60.0
    queries: int = 1000
    threads: int | None = None
    prefixes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.families is not None and (not self.families or len(set(self.families)) < len(self.families)):
            raise IndexSpecError(f"index.families must be null or different ones of flat, ivf and hnsw, got {list(self.families)}")
        if self.seconds <= 0:
            raise IndexSpecError(f"index.seconds={self.seconds:g}: tuning needs some time")
        at_least("index.queries", self.queries, 10)
        at_least("index.threads", self.threads, 1)
        for prefix in self.prefixes or ():
            at_least("index.prefixes", prefix, 1)
