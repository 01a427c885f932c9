"""Search over a FAISS index: a full list for every query, whatever rows are allowed and whatever the index can do itself."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import faiss
import numpy as np

from tt_hydra.contracts import FloatArray, IntArray
from tt_hydra.index.graph import orphans
from tt_hydra.index.mask import Mask
from tt_hydra.index.scan import Found, merged
from tt_hydra.index.structure import core, search_parameters, transformed

GRAPHS = faiss.IndexHNSW | faiss.IndexNSG | faiss.IndexNNDescent
"""Indexes that compare a query with what a walk comes by."""
MOST_KEPT = 64
"""Settings whose FAISS parameters are kept; the whole of them goes when there are more."""
DECODED = 16_384
"""Rows decoded at a time by an exhaustive search."""
WALK_COST = 16
"""Comparisons that a graph makes for each candidate it keeps: below this many allowed rows a scan is cheaper."""

ENOUGH = 0.5
"""Allowed rows that a walk must come by for each candidate that it keeps without a mask."""
ENOUGH_LISTED = 0.9
"""Allowed rows that a visit of lists must see for each row that it sees without a mask."""
NEAR = 4
"""Lists ranked for each list visited, at first."""
WIDER = 4
"""How many times as many candidates a walk keeps when it came by too few."""
BARE = 0.5
"""Below this share of allowed rows, those that no walk comes by are compared one by one."""


@dataclass(frozen=True)
class Engine:
    """A FAISS index and what it can do.

    Attributes:
        index: searched as it is; its own search settings are never changed.
        kernel: its innermost part.
        selects: whether it can search among allowed rows only.
        kept: parameters of earlier searches.
    """

    index: faiss.Index
    kernel: faiss.Index
    selects: bool
    kept: dict[Hashable, faiss.SearchParameters | None] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, index: faiss.Index, values: Mapping[str, int]) -> Engine:
        """Probes the index once."""
        selector = faiss.IDSelectorBitmap(np.full(-(-index.ntotal // 8), 255, np.uint8))
        parameters = search_parameters(index, values, 1, selector)
        try:
            index.search(np.zeros((1, index.d), np.float32), 1, params=parameters)
        except RuntimeError:
            return cls(index, core(index), False)
        return cls(index, core(index), True)

    @cached_property
    def lists(self) -> tuple[IntArray, IntArray] | None:
        """The inverted list of each row, and the rows of each list; None without lists, or with one."""
        if not isinstance(self.kernel, faiss.IndexIVF) or self.kernel.nlist == 1:
            return None
        inverted = self.kernel.invlists
        of_row = np.empty(self.index.ntotal, np.int64)
        for number in range(self.kernel.nlist):
            if size := inverted.list_size(number):
                of_row[faiss.rev_swig_ptr(inverted.get_ids(number), size)] = number
        return of_row, np.bincount(of_row, minlength=self.kernel.nlist)

    def search(self, queries: FloatArray, k: int, values: Mapping[str, int], mask: Mask | None) -> Found:
        """``k`` rows for each query, in any order; ``k`` is at most the number of allowed rows.

        Where rows near a query are not allowed, ``nprobe`` and ``efSearch`` grow for this query, until as many allowed rows are seen as
        without a mask. A query that gets fewer than ``k`` rows is searched again exhaustively.
        """
        if mask is None:
            found = self._plain(queries, k, values, None)
        elif self._scans(k, values, mask):
            return self._exhaustive(queries, k, values, mask)
        elif isinstance(self.kernel, faiss.IndexHNSW) and not isinstance(self.index, faiss.IndexRefine):
            found = self._walked(queries, k, values, mask)
        elif self.lists is not None and isinstance(faiss.downcast_index(self.kernel.quantizer), faiss.IndexFlat):
            found = self._probed(queries, k, values, mask)
        else:
            found = self._plain(queries, k, self._widened(values, k, mask.share), mask)
        scores, rows = found
        if (rows < 0).any():
            short = (rows < 0).any(axis=1)
            scores[short], rows[short] = self._exhaustive(queries[short], k, values, mask)
        return scores, rows

    @cached_property
    def orphans(self) -> IntArray:
        """Rows of a graph that no walk comes by."""
        return orphans(self.kernel)

    def _walked(self, queries: FloatArray, k: int, values: Mapping[str, int], mask: Mask) -> Found:
        """Walks past rows that are not allowed, and further where most that it came by were not: FAISS itself would end among them.

        Where few are left, orphans of the graph are among the best more often than when all were there: they are compared one by one.
        """
        kept = max(values["efSearch"], k)
        width = kept / mask.share
        best = np.full((len(queries), k), -np.inf, np.float32), np.full((len(queries), k), -1, np.int64)
        left, bare = np.arange(len(queries)), np.full(len(queries), mask.share < BARE)
        while len(left) and WALK_COST * width < mask.count:
            wide = math.ceil(width)
            scores, rows = self._plain(queries[left], wide, {**values, "efSearch": wide}, None)
            allowed = mask.allowed[rows] & (rows >= 0)
            enough = allowed.sum(axis=1) >= max(k, kept * ENOUGH)
            order = np.argsort(~allowed[enough], axis=1, kind="stable")[:, :k]
            best[0][left[enough]] = np.take_along_axis(scores[enough], order, axis=1)
            best[1][left[enough]] = np.take_along_axis(rows[enough], order, axis=1)
            left, width = left[~enough], width * WIDER
            bare[left] = True
        bare[left] = False
        if bare.any() and len(lone := self.orphans[mask.allowed[self.orphans]]):
            walked = best[0][bare], best[1][bare]
            best[0][bare], best[1][bare] = merged(walked, self._decoded(queries[bare], k, lone), k)
        return best

    def _probed(self, queries: FloatArray, k: int, values: Mapping[str, int], mask: Mask) -> Found:
        """Visits as many lists as it takes to see as many allowed rows as a query sees in ``nprobe`` lists without a mask."""
        assert self.lists is not None
        of_row, sizes = self.lists
        least = min(values["nprobe"], len(sizes))
        near, allowed = transformed(self.index, queries), mask.per_list(of_row, len(sizes))
        ranked = self.kernel.quantizer.search(near, min(NEAR * least, len(sizes)))[1]
        probes = _probes(ranked, least, sizes, allowed)
        if probes is None:
            probes = _probes(self.kernel.quantizer.search(near, len(sizes))[1], least, sizes, allowed)
        assert probes is not None
        best = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
        for nprobe in np.unique(probes).tolist():
            same = probes == nprobe
            best[0][same], best[1][same] = self._plain(queries[same], k, {**values, "nprobe": nprobe}, mask)
        return best

    def compare_all(self, queries: FloatArray, k: int, values: Mapping[str, int], mask: Mask | None) -> Found:
        """The same by comparing each query with the codes of all allowed rows: neither graph nor lists leave any out."""
        ordered = not isinstance(self.kernel, faiss.IndexIVF | GRAPHS)
        if ordered and (mask is None or self.selects):
            return self._plain(queries, k, values, mask)
        return self._exhaustive(queries, k, values, mask)

    def _widened(self, values: Mapping[str, int], k: int, share: float) -> Mapping[str, int]:
        wide = dict(values)
        if "nprobe" in wide:
            wide["nprobe"] = math.ceil(wide["nprobe"] / share)
        if "efSearch" in wide:
            wide["efSearch"] = math.ceil(max(wide["efSearch"], k) / share)
        return wide

    def _scans(self, k: int, values: Mapping[str, int], mask: Mask) -> bool:
        few = WALK_COST * max(values.get("efSearch", 0), k)
        return not self.selects or (isinstance(self.kernel, faiss.IndexHNSW) and mask.count <= few)

    def _plain(self, queries: FloatArray, k: int, values: Mapping[str, int], mask: Mask | None) -> Found:
        parameters = self._parameters(k, values) if mask is None else search_parameters(self.index, values, k, mask.selector)
        scores, rows = self.index.search(queries, k, params=parameters)
        return scores, rows

    def _parameters(self, k: int, values: Mapping[str, int]) -> faiss.SearchParameters | None:
        """Those without a mask are kept from call to call: making them takes as long as a short search."""
        key = (k, *values.items())
        if key not in self.kept:
            if len(self.kept) >= MOST_KEPT:
                self.kept.clear()
            self.kept[key] = search_parameters(self.index, values, k, None)
        return self.kept[key]

    def _exhaustive(self, queries: FloatArray, k: int, values: Mapping[str, int], mask: Mask | None) -> Found:
        if isinstance(self.kernel, faiss.IndexIVF):
            everywhere = {**values, "nprobe": self.kernel.nlist}
            if mask is None or self.selects:
                return self._plain(queries, k, everywhere, mask)
            return self._filtered(queries, k, everywhere, mask)
        rows = np.arange(self.index.ntotal) if mask is None else mask.rows
        return self._decoded(queries, k, rows)

    def _filtered(self, queries: FloatArray, k: int, values: Mapping[str, int], mask: Mask) -> Found:
        """Ranks all rows and drops what is not allowed: for lists whose codes FAISS can neither select nor decode."""
        best = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
        for number in range(len(queries)):
            scores, rows = self._plain(queries[number : number + 1], self.index.ntotal, values, None)
            kept = np.flatnonzero(mask.allowed[rows[0]])[:k]
            best[0][number], best[1][number] = scores[0, kept], rows[0, kept]
        return best

    def _decoded(self, queries: FloatArray, k: int, rows: IntArray) -> Found:
        best = np.full((len(queries), k), -np.inf, np.float32), np.full((len(queries), k), -1, np.int64)
        for start in range(0, len(rows), DECODED):
            part = rows[start : start + DECODED]
            vectors = self.index.reconstruct_batch(part)
            scores, places = faiss.knn(queries, vectors, min(k, len(part)), metric=faiss.METRIC_INNER_PRODUCT)
            best = merged(best, (scores, part[places]), k)
        return best


def _probes(ranked: IntArray, least: int, sizes: IntArray, allowed: IntArray) -> IntArray | None:
    """Lists that each query visits, ``(queries,)``; None where more than those ranked may be needed.

    Twice as many rows are wanted where the lists near a query are almost empty: what is next best then lies in many directions.

    Args:
        ranked: ``(queries, lists)`` the lists nearest to each query, nearest first.
        least: lists visited without a mask.
        sizes: rows of each list.
        allowed: those of them that may be returned.
    """
    seen = allowed[ranked].cumsum(axis=1)
    usual = sizes[ranked[:, :least]].sum(axis=1)
    emptied = seen[:, least - 1] < usual * (allowed.sum() / sizes.sum()) / 2
    wanted = np.minimum(np.where(emptied, 2 * usual, ENOUGH_LISTED * usual), allowed.sum())
    if ranked.shape[1] < len(sizes) and (seen[:, -1] < wanted).any():
        return None
    probes = (seen < wanted[:, None]).sum(axis=1) + 1
    rounded = np.minimum(2 ** np.ceil(np.log2(probes)), len(sizes)).astype(np.int64)
    return np.where(probes <= least, least, rounded)
