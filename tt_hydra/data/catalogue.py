"""The items as towers see them: ids, encoded features and standing statistics. A bundle takes a copy of its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import torch

from tt_hydra.contracts import Features, FloatArray, History, IntArray, Ragged, Side, Tokenizer
from tt_hydra.data.encoded import EncodedTable, load_array, pad_ranges
from tt_hydra.data.statistics import Scale, scaled

AsOf = Literal["valid", "test"]
FEW = 64
"""Up to so many rows are told apart sooner in a set than in an array."""


def numeric(values: FloatArray) -> torch.Tensor:
    """``(n, 2)`` feature of ``(n,)`` numbers of which none is missing."""
    return torch.from_numpy(np.stack([values, np.zeros_like(values)], axis=1))


@dataclass(frozen=True)
class Catalogue:
    """All items of a data set.

    Attributes:
        ids: item ids by row.
        table: encoded features.
        scales: the declared statistics.
        standing: by part, ``(items, statistics)`` raw statistics as they stand where the part begins.
    """

    ids: pl.Series
    table: EncodedTable
    scales: tuple[Scale, ...]
    standing: Mapping[AsOf, FloatArray]

    @staticmethod
    def load(folder: Path, scales: tuple[Scale, ...], tokens: Mapping[str, Ragged] | None = None) -> Catalogue:
        """Opens the folder ``items`` of a data set; ``scales`` come from its featurizer."""
        ids = pl.read_parquet(folder / "ids.parquet")["id"]
        parts: tuple[AsOf, ...] = ("valid", "test")
        standing = {part: load_array(folder / f"statistics_{part}.npy") for part in parts} if scales else {}
        return Catalogue(ids, EncodedTable.load(folder / "table", tokens), scales, standing)

    def tokenized(self, tokenizer: Tokenizer, side: Side | None = None) -> Catalogue:
        """The same with every text as token ids; see ``EncodedTable.tokenized``."""
        return replace(self, table=self.table.tokenized(tokenizer, side))

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {identifier: row for row, identifier in enumerate(self.ids.to_list())}

    def rows_of(self, ids: list[str]) -> IntArray:
        """Row of each id, -1 for an unknown one."""
        return np.array([self._row_of.get(identifier, -1) for identifier in ids], np.int64)

    def known_rows(self, ids: Sequence[str]) -> list[int]:
        """Rows of those ids that the catalogue holds."""
        return [row for row in map(self._row_of.get, ids) if row is not None]

    def features(self, rows: IntArray, statistics: FloatArray | None = None, as_of: AsOf = "valid") -> Features:
        """Features of the named rows.

        Args:
            rows: ``(n,)`` item rows.
            statistics: ``(n, statistics)`` raw statistics, or None for those standing where the part ``as_of`` begins.
            as_of: the part.
        """
        values = {**self.table.gather(rows)}
        if self.scales:
            raw = self.standing[as_of][rows] if statistics is None else statistics
            values |= {scale.feature: numeric(column) for scale, column in zip(self.scales, scaled(self.scales, raw).T, strict=True)}
        return Features(len(rows), values, torch.from_numpy(rows))

    def history(self, items: IntArray, starts: IntArray, lengths: IntArray) -> History:
        """Histories that are ranges of a flat array of item rows, each distinct item's features held once.

        A history says what was taken, not how popular it was: the statistics of its items are missing, for they would have to be
        those of each example's own time.
        """
        padded = pad_ranges(items, starts, lengths)
        rows, mask = padded.ids.numpy(), padded.mask.numpy()
        distinct, numbers = self._distinct(rows[mask])
        rows[mask] = numbers
        return History(padded, self._in_history(distinct if len(distinct) else np.zeros(1, np.int64)))

    def _distinct(self, rows: IntArray) -> tuple[IntArray, IntArray]:
        """The distinct rows, ascending, and which of them each one is: by sorting if they are few, else by a pass over the catalogue."""
        if len(rows) <= FEW:
            found = sorted(set(rows.tolist()))
            place = {row: number for number, row in enumerate(found)}
            return np.array(found, np.int64), np.array([place[row] for row in rows.tolist()], np.int64)
        if len(rows) * 8 < self.table.size:
            return np.unique(rows, return_inverse=True)
        marked = np.zeros(self.table.size, np.bool_)
        marked[rows] = True
        distinct = np.flatnonzero(marked)
        number = np.zeros(self.table.size, np.int64)
        number[distinct] = np.arange(len(distinct))
        return distinct, number[rows]

    def _in_history(self, rows: IntArray) -> Features:
        values = {**self.table.gather(rows)}
        if self.scales:
            missing = torch.tensor([[0.0, 1.0]]).repeat(len(rows), 1)
            values |= {scale.feature: missing for scale in self.scales}
        return Features(len(rows), values, torch.from_numpy(rows))
