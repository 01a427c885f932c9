"""How much of what queries say the model has never seen: words outside a closed set, items that the catalogue does not hold."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl

from tt_hydra.contracts import UNKNOWN, IntArray, Ragged
from tt_hydra.data.encoders import Categorical, Multi
from tt_hydra.data.featurizer import Featurizer
from tt_hydra.data.schema import HISTORY


def unknown_values(featurizer: Featurizer, rows: pl.DataFrame, rows_of: Callable[[list[str]], IntArray]) -> tuple[int, int]:
    """How many values of raw query rows are unknown, and how many there are that could have been; a missing value is neither.

    Args:
        featurizer: whose categories and sets of categories are closed.
        rows: raw columns of queries by name, ``history`` among them; absent columns are missing.
        rows_of: row of each item id, -1 for an unknown one.
    """
    unknown = values = 0
    for encoder in (*featurizer.queries, *featurizer.context):
        if isinstance(encoder, Categorical | Multi) and encoder.name in rows.columns:
            codes, missing = _codes(encoder, rows[encoder.name])
            unknown += int((codes == UNKNOWN).sum()) - missing
            values += len(codes) - missing
    if featurizer.history and isinstance(rows.schema.get(HISTORY), pl.List):
        ids = rows[HISTORY].cast(pl.List(pl.String)).explode(empty_as_null=False, keep_nulls=False).to_list()
        unknown += int((rows_of(ids) < 0).sum())
        values += len(ids)
    return unknown, values


def _codes(encoder: Categorical | Multi, column: pl.Series) -> tuple[IntArray, int]:
    """The codes of a column, and how many of them stand for a missing value."""
    coded = encoder.encode(column)[encoder.name]
    if isinstance(coded, Ragged):
        return coded.values.astype(np.int64), 0
    return coded.astype(np.int64), encoder.missing(column)
