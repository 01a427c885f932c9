"""``manifest.json``: what a bundle is, what it was built from, what it measured, and the checksum of each of its files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from tt_hydra.artifact.files import write_json
from tt_hydra.artifact.keys import fingerprint
from tt_hydra.contracts import Metric
from tt_hydra.errors import BundleError

FORMAT = 2
MANIFEST = "manifest.json"
TRAINED = "trained"


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """The content of ``manifest.json``.

    Attributes:
        format: version of the layout of a bundle.
        created: ISO time with zone.
        trained: when the model was trained, or the first bundle of it was made; None, and not in the file, where nothing tells.
        version: version of tt_hydra that wrote it.
        metric: similarity of the vectors; scores are this similarity, higher is better.
        dim: dimension of the vectors.
        num_items: rows of the item vectors and of the index.
        precision: number format in which vectors were computed.
        title: column of ``items.parquet`` to print as a result's title, or None.
        model: `ModelSpec.to_json`: towers, poolings, tie, schema; None where the vectors came ready-made.
        model_fingerprint: of weights, towers, schema, metric and featurizer; of the item vectors where there is no model.
        vectors_fingerprint: SHA-256 of the item vectors' file.
        index: specs of the index and its quantization, and the search parameters to use.
        measured: quality, latency and bytes, under their keys in ``metrics.json``.
        conditions: under which they were measured (CPU, threads, queries ...).
        files: size and SHA-256 of every other file by relative path.
    """

    format: int = FORMAT
    created: str
    trained: str | None = None
    version: str
    metric: Metric
    dim: int
    num_items: int
    precision: Literal["32", "bf16", "16"] = "32"
    title: str | None = None
    model: Mapping[str, Any] | None
    model_fingerprint: str
    vectors_fingerprint: str
    index: Mapping[str, Any]
    measured: Mapping[str, float]
    conditions: Mapping[str, Any]
    files: Mapping[str, Mapping[str, Any]]

    @property
    def search_params(self) -> dict[str, int]:
        """Search parameters to give with each search."""
        return dict(self.index["search_params"])

    @property
    def trained_at(self) -> str:
        """ISO time from which on the model is as old as it is, however often its catalogue was built anew since."""
        return self.trained or self.created

    @property
    def fingerprint(self) -> str:
        """Of all that it says, and so of every file."""
        return fingerprint(self._content())

    def save(self, folder: Path) -> None:
        """Writes ``manifest.json`` with a checksum over itself."""
        content = self._content()
        write_json(folder / MANIFEST, {**content, "checksum": fingerprint(content)})

    def _content(self) -> dict[str, Any]:
        """What the file holds besides its checksum."""
        return {name: value for name, value in asdict(self).items() if name != TRAINED or value is not None}

    @classmethod
    def load(cls, folder: Path) -> Manifest:
        """Reads ``manifest.json``.

        Raises:
            BundleError: it is absent, damaged or of a format that this version does not know.
        """
        path = folder / MANIFEST
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            checksum, known = content.pop("checksum"), content["format"]
        except (FileNotFoundError, NotADirectoryError) as error:
            raise BundleError(f"{folder} is no bundle: it has no {MANIFEST}. A run writes one to outputs/run/<date_time>/bundle") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BundleError(
                f"{path} is damaged ({type(error).__name__}: {error}). Copy the bundle again, or run the pipeline again"
            ) from error
        if known != FORMAT:
            raise BundleError(
                f"{path} has format {known!r}; this version of tt_hydra reads format {FORMAT}: write the bundle again with it"
            )
        if checksum != fingerprint(content) or {*content, TRAINED} != {each.name for each in fields(cls)}:
            raise BundleError(
                f"{path} is damaged or was edited: its checksum does not match. Copy the bundle again, or run the pipeline again"
            )
        return cls(**content)
