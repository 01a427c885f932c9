"""Encoded items in memory, taken from catalogues, encoded from raw rows, joined and written as a catalogue's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from tt_hydra.contracts import FloatArray, IntArray, Ragged, Tokenizer
from tt_hydra.data.catalogue import AsOf, Catalogue
from tt_hydra.data.encoded import Column, EncodedTable, tokenize
from tt_hydra.data.encoders import Text
from tt_hydra.data.featurizer import Featurizer

PARTS: tuple[AsOf, AsOf] = ("valid", "test")


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemTable:
    """Items as towers see them; the fields are those of `Catalogue`.

    Attributes:
        ids: by row.
        columns: every feature but the texts, by name.
        texts: by name.
        tokens: token ids of the texts by name; empty where nobody reads them.
        standing: by part, ``(items, statistics)`` raw statistics; empty where none are declared.
    """

    ids: pl.Series
    columns: Mapping[str, Column]
    texts: Mapping[str, pl.Series]
    tokens: Mapping[str, Ragged]
    standing: Mapping[AsOf, FloatArray]

    @classmethod
    def of(cls, catalogue: Catalogue, rows: IntArray) -> ItemTable:
        """Some rows of a catalogue."""
        table = catalogue.table
        texts = {name: table.texts(name) for name in table.text_names}
        whole = cls(ids=catalogue.ids, columns=table.columns, texts=texts, tokens=table.tokens, standing=catalogue.standing)
        return whole.take(rows)

    @classmethod
    def encoded(cls, raw: pl.DataFrame, featurizer: Featurizer, tokenizer: Tokenizer | None) -> ItemTable:
        """Raw rows of items of which no event is known.

        Args:
            raw: ``id`` and the columns that features are made of; an absent one is missing throughout.
            featurizer: what encodes them.
            tokenizer: of the item tower, where histories read texts; None where nobody does.
        """
        columns: dict[str, Column] = {}
        texts: dict[str, pl.Series] = {}
        for encoder in featurizer.items:
            column = raw[encoder.name] if encoder.name in raw.columns else pl.Series(encoder.name, [None] * len(raw))
            if isinstance(encoder, Text):
                texts[encoder.name] = encoder.texts(column)
            else:
                columns |= encoder.encode(column)
        tokens = {} if tokenizer is None else {name: tokenize(column, tokenizer) for name, column in texts.items()}
        nothing = np.zeros((len(raw), len(featurizer.scales)), np.float32)
        standing = dict.fromkeys(PARTS, nothing) if featurizer.scales else {}
        return cls(ids=raw["id"], columns=columns, texts=texts, tokens=tokens, standing=standing)

    def take(self, rows: IntArray) -> ItemTable:
        """The named rows, in that order."""
        return ItemTable(
            ids=self.ids.gather(rows),
            columns={name: _taken(column, rows) for name, column in self.columns.items()},
            texts={name: column.gather(rows) for name, column in self.texts.items()},
            tokens={name: column.take(rows) for name, column in self.tokens.items()},
            standing={part: values[rows] for part, values in self.standing.items()},
        )

    @classmethod
    def joined(cls, tables: Sequence[ItemTable]) -> ItemTable:
        """Tables of the same features, one after the other."""
        first = tables[0]
        return cls(
            ids=pl.concat([each.ids for each in tables]),
            columns={name: _joined([each.columns[name] for each in tables]) for name in first.columns},
            texts={name: pl.concat([each.texts[name] for each in tables]) for name in first.texts},
            tokens={name: _joined_rows([each.tokens[name] for each in tables]) for name in first.tokens},
            standing={part: np.concatenate([each.standing[part] for each in tables]) for part in first.standing},
        )

    def save(self, folder: Path) -> None:
        """Writes what `Catalogue.load` reads; tokens are no part of it."""
        EncodedTable.save(folder / "table", len(self.ids), self.columns, self.texts)
        self.ids.rename("id").to_frame().write_parquet(folder / "ids.parquet")
        for part, values in self.standing.items():
            np.save(folder / f"statistics_{part}.npy", values)


def _taken(column: Column, rows: IntArray) -> Column:
    return column.take(rows) if isinstance(column, Ragged) else column[rows]


def _joined(columns: Sequence[Column]) -> Column:
    ragged = [each for each in columns if isinstance(each, Ragged)]
    return _joined_rows(ragged) if ragged else np.concatenate([each for each in columns if not isinstance(each, Ragged)])


def _joined_rows(columns: Sequence[Ragged]) -> Ragged:
    lengths = np.concatenate([np.diff(each.offsets) for each in columns])
    return Ragged(np.concatenate([each.values for each in columns]), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
