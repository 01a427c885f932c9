"""embed: vectors of queries or items of one's own, through a bundle's towers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from tt_hydra.artifact.files import in_place_of
from tt_hydra.artifact.resolve import resolve_bundle
from tt_hydra.contracts import FloatArray
from tt_hydra.data.encoders import read_as_trained
from tt_hydra.data.reading import DataFile, find_path, read_file
from tt_hydra.errors import ConfigError
from tt_hydra.pipeline.questions import TEXT_LINES, read_lines, read_questions
from tt_hydra.serve.retriever import Retriever


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbedSettings:
    """What is embedded, and where the vectors go.

    Attributes:
        bundle: a bundle's or a run's folder, ``latest`` or ``current``.
        side: which tower.
        input: file of rows: for queries see ``questions.read_questions``; for items their raw columns, or a text in each line (.txt).
        output: ``.npy`` file for the vectors, ``(rows, dim)`` float32 in the order of the rows.
        verify: compare the checksum of every file of the bundle first.
        outputs: root of the runs.
        allow_targets: module prefixes of components of your own that the bundle may name.
    """

    bundle: str = "latest"
    side: Literal["query", "item"]
    input: str
    output: str = "vectors.npy"
    verify: bool = True
    outputs: Path
    allow_targets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.output.endswith(".npy"):
            raise ConfigError(f"output={self.output}: vectors are written as .npy, such as output=vectors.npy")


@dataclass(frozen=True, slots=True)
class Embedded:
    """What was written."""

    path: Path
    rows: int
    dim: int


def embed(settings: EmbedSettings) -> Embedded:
    """Embeds the rows of a file and writes the vectors.

    Raises:
        BundleError: the bundle is missing, incomplete or damaged.
        DataError: the file is missing or malformed, or names what the model does not take.
    """
    source = DataFile(find_path(settings.input, "input"), settings.input)
    folder = resolve_bundle(settings.bundle, settings.outputs)
    retriever = Retriever.load(folder, verify=settings.verify, allow=settings.allow_targets)
    vectors = _items(retriever, source) if settings.side == "item" else _queries(retriever, settings.input)
    path = Path(settings.output)
    path.parent.mkdir(parents=True, exist_ok=True)
    with in_place_of(path) as unfinished, unfinished.open("wb") as file:
        np.save(file, vectors)
    return Embedded(path, len(vectors), vectors.shape[1])


def _queries(retriever: Retriever, path: str) -> FloatArray:
    return retriever.embed_queries([question.query for question in read_questions(path, "input")])


def _items(retriever: Retriever, source: DataFile) -> FloatArray:
    if source.ending == TEXT_LINES:
        return retriever.embed_items([text for _, text in read_lines(source)])
    return retriever.embed_items(read_as_trained(read_file(source, (), every=True), retriever.bundle.featurizer.items, source.name))
