"""Graph search."""

from __future__ import annotations

from dataclasses import dataclass

from tt_hydra.quantization.limits import at_least


@dataclass(frozen=True, kw_only=True, slots=True)
class Hnsw:
    """A layered graph of near neighbours, walked greedily; ``8 * M`` bytes an item on top of its vector.

    Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using HNSW graphs" (2018). The graph is always
    built on the full vectors; a quantization only replaces what the walk compares.

    Attributes:
        M: neighbours of an item in the upper layers, twice as many in the lowest.
        efConstruction: candidates kept while an item is inserted.
        efSearch: candidates kept while searching, unless a search says otherwise; never fewer than the results wanted.
        threads: threads that insert items. One gives the same graph on every build; more are faster and differ from run to run.
    """

    M: int = 32
    efConstruction: int = 200
    efSearch: int = 128
    threads: int = 1

    def __post_init__(self) -> None:
        at_least("index.M", self.M, 2)
        at_least("index.efConstruction", self.efConstruction, 1)
        at_least("index.efSearch", self.efSearch, 1)
        at_least("index.threads", self.threads, 1)
