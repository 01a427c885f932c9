"""Inverted lists."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tt_hydra.errors import IndexSpecError
from tt_hydra.quantization.limits import at_least

POINTS_PER_LIST = 39
"""Training vectors that a centroid needs to be meaningful (the bound below which FAISS warns)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ivf:
    """Items in ``nlist`` clusters, of which a search visits the ``nprobe`` best.

    Clusters are made by Euclidean distance and visited by similarity: with items of unequal norms this finds far more than
    assigning items by inner product (recall@10 at nprobe 16 of 500 lists, lognormal norms: .80 against .56, on fewer items).

    Attributes:
        nlist: number of clusters; None for ``4 * sqrt(n)``, fewer where that leaves less than 39 items each.
        nprobe: clusters visited unless a search says otherwise; None for ``2 * sqrt(nlist)``, at least 8. At most ``nlist``, or all of them
            where that is None: the catalogue, and the number of clusters with it, may shrink.
    """

    nlist: int | None = None
    nprobe: int | None = None

    def __post_init__(self) -> None:
        at_least("index.nlist", self.nlist, 1)
        at_least("index.nprobe", self.nprobe, 1)
        if self.nlist is not None and self.nprobe is not None and self.nprobe > self.nlist:
            raise IndexSpecError(
                f"index.nprobe={self.nprobe} is more than index.nlist={self.nlist}: the nearest possible nprobe is {self.nlist}"
            )

    def resolve_nlist(self, size: int) -> int:
        """Number of clusters for ``size`` items.

        Raises:
            IndexSpecError: there are fewer items than clusters.
        """
        if self.nlist is None:
            return max(1, min(round(4 * math.sqrt(size)), size // POINTS_PER_LIST))
        if self.nlist > size:
            raise IndexSpecError(
                f"index.nlist={self.nlist} is more than the {size} items: the nearest possible nlist is {size}, "
                f"a useful one {max(1, size // POINTS_PER_LIST)}; null chooses it"
            )
        return self.nlist


def resolve_nprobe(nprobe: int | None, nlist: int) -> int:
    """Clusters that a search visits by default, at most all of them."""
    return min(nlist, max(8, round(2 * math.sqrt(nlist))) if nprobe is None else nprobe)
