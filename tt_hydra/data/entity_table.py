"""The table of queries or of items of a declared source: its config node, and its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from tt_hydra.data.columns import as_ids, check_unique_ids, with_features
from tt_hydra.data.declaration import Features, FeatureSpec, parse_features
from tt_hydra.data.reading import DataFile, read_files
from tt_hydra.errors import ConfigError

DISPLAY = ("title", "name")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entities:
    """The table of queries or of items: one row for each.

    Attributes:
        path: file, or folder of files of one format. None: there is no table, and the ids are those of the interactions.
        id: column of the id. None: it is called as in the interactions.
        features: what the tower sees, by column; the id may be one of them. None: the id alone, as a category.
    """

    path: str | None = None
    id: str | None = None
    features: Features | None = None

    def declared(self, side: str, id_column: str) -> dict[str, FeatureSpec]:
        """The features of the table ``side``, whose id is called ``id_column``.

        Raises:
            ConfigError: a feature that only a table could give, where there is no table; or a column that cannot be told from the id.
        """
        if self.features is None:
            return {id_column: FeatureSpec(kind="categorical")}
        features = parse_features(self.features, f"data.{side}.features")
        unknown = [name for name in features if name != id_column]
        if self.path is None and unknown:
            raise ConfigError(
                f"data.{side}.features.{unknown[0]} is a column of a table, but data.{side}.path is not set; "
                f"without a table there is only the id, {id_column}"
            )
        if "id" in features and id_column != "id":
            raise ConfigError(f"data.{side}.features.id: the id is the column {id_column!r}; rename the other column, id means the id")
        return features


def read_entities(files: Sequence[DataFile], id_column: str, features: Mapping[str, FeatureSpec]) -> pl.DataFrame:
    """The rows of a table: ``id``, the typed features, and every other column of the file as it is.

    Raises:
        DataError: a column is missing or of the wrong type, an id is missing or occurs twice, or a line cannot be parsed.
    """
    columns = list(dict.fromkeys([id_column, *features]))
    frame = read_files(files, columns, every=True)
    name = files[0].name
    ids = as_ids(frame[id_column], f"{name}, column {id_column!r}").alias("id")
    check_unique_ids(ids, f"{name}, column {id_column!r}")
    rest = with_features(frame, features, name).drop("id", strict=False)
    return pl.DataFrame([ids, *_with_id(rest, ids, id_column, features)])


def _with_id(rest: pl.DataFrame, ids: pl.Series, id_column: str, features: Mapping[str, FeatureSpec]) -> list[pl.Series]:
    own = id_column in features and features[id_column].kind != "numeric"
    return [ids.alias(id_column) if own and column.name == id_column else column for column in rest]


def entities_of(ids: pl.Series, id_column: str) -> pl.DataFrame:
    """A table of nothing but the distinct ids, in order of their first appearance, also under their own name."""
    distinct = ids.unique(maintain_order=True)
    return pl.DataFrame([distinct.alias("id"), *([] if id_column == "id" else [distinct.alias(id_column)])])


def display_column(items: pl.DataFrame, features: Mapping[str, FeatureSpec]) -> str | None:
    """The column to print as an item's title: ``title`` or ``name`` in any case of letters, else the first text feature."""
    for wanted in DISPLAY:
        found = [name for name in items.columns if name.lower() == wanted]
        if found:
            return found[0]
    return next((name for name, spec in features.items() if spec.kind == "text"), None)
