"""Encoded features of many rows as memory-mapped columns; a batch of rows is gathered in one vectorised step, never row by row."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import Tensor

from tt_hydra.contracts import Cutting, IntArray, Padded, Ragged, Side, Tokenizer

logger = logging.getLogger(__name__)

Column = npt.NDArray[np.generic] | Ragged
"""``(rows,)`` int32 codes, ``(rows, 2)`` float32 number and missing flag, or rows of int32 codes or token ids."""

TOKENIZER_CHUNK = 65_536


def save_column(folder: Path, name: str, column: Column) -> None:
    """Writes a column as one or two ``.npy`` files under an existing folder."""
    if isinstance(column, Ragged):
        np.save(folder / f"{name}.values.npy", column.values)
        np.save(folder / f"{name}.offsets.npy", column.offsets)
    else:
        np.save(folder / f"{name}.npy", column)


def load_array(path: Path) -> npt.NDArray[Any]:
    """A memory-mapped array, read only, as a plain ndarray."""
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    return np.asarray(array)


def load_column(folder: Path, name: str) -> Column:
    """A column that ``save_column`` wrote, memory-mapped."""
    if (folder / f"{name}.npy").exists():
        return load_array(folder / f"{name}.npy")
    return load_ragged(folder, name)


def load_ragged(folder: Path, name: str) -> Ragged:
    """A ragged column, memory-mapped."""
    offsets = load_array(folder / f"{name}.offsets.npy").astype(np.int64, copy=False)
    return Ragged(load_array(folder / f"{name}.values.npy"), offsets)


def pad_ranges(values: npt.NDArray[np.generic], starts: IntArray, lengths: IntArray) -> Padded:
    """Ranges of a flat array, padded to the longest of them (at least one position).

    Args:
        values: flat array.
        starts: ``(rows,)`` first position of each range.
        lengths: ``(rows,)`` length of each range; may be 0.
    """
    if len(starts) == 1 and lengths[0]:
        whole = values[starts[0] : starts[0] + lengths[0]].astype(np.int64)[None]
        return Padded(torch.from_numpy(whole), torch.ones(whole.shape, dtype=torch.bool))
    steps = np.arange(max(1, int(lengths.max(initial=0))))
    mask = steps < lengths[:, None]
    ids = np.zeros(mask.shape, np.int64)
    ids[mask] = values[(starts[:, None] + steps)[mask]]
    return Padded(torch.from_numpy(ids), torch.from_numpy(mask))


def pad_rows(ragged: Ragged, rows: IntArray) -> Padded:
    """The named rows, padded to the longest of them."""
    starts = ragged.offsets[rows]
    return pad_ranges(ragged.values, starts, ragged.offsets[rows + 1] - starts)


def as_tensor(column: Column, rows: IntArray | None = None) -> Tensor | Padded:
    """The named rows of a column (None for all), as the contract of its kind asks: int64 codes, float32 pairs or padded sequences."""
    if isinstance(column, Ragged):
        return pad_ranges(column.values, column.offsets[:-1], np.diff(column.offsets)) if rows is None else pad_rows(column, rows)
    taken = column if rows is None else column[rows]
    return torch.from_numpy(taken.astype(np.int64) if taken.ndim == 1 else taken)


def tokenize(texts: pl.Series, tokenizer: Tokenizer) -> Ragged:
    """Token ids of a column of texts, chunk by chunk, so that memory holds one chunk of strings."""
    return _counted(texts, tokenizer)[0]


def _counted(texts: pl.Series, tokenizer: Tokenizer) -> tuple[Ragged, int]:
    """The same, and how many texts were cut."""
    parts, cut = [], 0
    for start in range(0, len(texts), TOKENIZER_CHUNK):
        chunk = texts.slice(start, TOKENIZER_CHUNK).to_list()
        part, more = tokenizer.counted(chunk) if isinstance(tokenizer, Cutting) else (tokenizer(chunk), 0)
        parts.append(part)
        cut += more
    lengths = np.concatenate([np.zeros(1, np.int64), *(np.diff(part.offsets) for part in parts)])
    values = np.concatenate([np.zeros(0, np.int32), *(part.values.astype(np.int32, copy=False) for part in parts)])
    return Ragged(values, np.cumsum(lengths)), cut


def _tell_cut(feature: str, tokens: Ragged, cut: int, tokenizer: Tokenizer) -> None:
    """Says how many of a feature's texts are longer than what is read of them; a warning where most are."""
    if not cut or not isinstance(tokenizer, Cutting):
        return
    texts = int((np.diff(tokens.offsets) > 0).sum())
    level = logging.WARNING if 2 * cut > texts else logging.INFO
    logger.log(level, "%s: %.1f%% of %s texts are cut at %s", feature, 100 * cut / texts, f"{texts:,}", tokenizer.limit)


@dataclass(frozen=True, slots=True)
class EncodedTable:
    """Encoded features of a table's rows.

    Attributes:
        folder: where it was loaded from.
        size: number of rows.
        columns: every feature but the texts, by name.
        text_names: names of the text features.
        tokens: token ids of the text features, once ``tokenized``.
    """

    folder: Path
    size: int
    columns: Mapping[str, Column]
    text_names: tuple[str, ...]
    tokens: Mapping[str, Ragged] = field(default_factory=dict)

    @staticmethod
    def save(folder: Path, size: int, columns: Mapping[str, Column], texts: Mapping[str, pl.Series]) -> None:
        """Writes the columns into a folder; files carry numbers, since a feature may have any name."""
        folder.mkdir(parents=True, exist_ok=True)
        for number, column in enumerate(columns.values()):
            save_column(folder, str(number), column)
        if texts:
            pl.DataFrame({str(number): series for number, series in enumerate(texts.values())}).write_parquet(folder / "texts.parquet")
        names = {"size": size, "columns": list(columns), "texts": list(texts)}
        (folder / "table.json").write_text(json.dumps(names, ensure_ascii=False), encoding="utf-8")

    @staticmethod
    def load(folder: Path, tokens: Mapping[str, Ragged] | None = None) -> EncodedTable:
        """Opens a folder that ``save`` wrote; nothing is read before it is needed."""
        names = json.loads((folder / "table.json").read_text(encoding="utf-8"))
        columns = {name: load_column(folder, str(number)) for number, name in enumerate(names["columns"])}
        return EncodedTable(folder, names["size"], columns, tuple(names["texts"]), tokens or {})

    def texts(self, name: str) -> pl.Series:
        """A text feature's strings, one a row, empty where missing."""
        column = str(self.text_names.index(name))
        return pl.read_parquet(self.folder / "texts.parquet", columns=[column])[column].rename(name)

    def tokenized(self, tokenizer: Tokenizer, side: Side | None = None) -> EncodedTable:
        """The same with every text as token ids; where ``side`` says whose they are, the log says how many are cut."""
        tokens = {}
        for name in self.text_names:
            tokens[name], cut = _counted(self.texts(name), tokenizer)
            if side is not None:
                _tell_cut(f"{side} {name}", tokens[name], cut, tokenizer)
        return dataclasses.replace(self, tokens=tokens)

    def gather(self, rows: IntArray) -> dict[str, Tensor | Padded]:
        """The features of the named rows.

        Raises:
            RuntimeError: there are texts and they are not tokenised yet.
        """
        if self.text_names and not self.tokens:
            raise RuntimeError(f"the texts {self.text_names} are not tokenised: call tokenized() before gathering rows")
        return {name: as_tensor(column, rows) for name, column in {**self.columns, **self.tokens}.items()}
