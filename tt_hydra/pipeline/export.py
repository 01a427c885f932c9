"""export: a bundle's towers in a form that other software runs, compared with the originals before they appear."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from tt_hydra.artifact.files import disk_errors, publish, sizes
from tt_hydra.artifact.resolve import resolve_bundle
from tt_hydra.contracts import Features, FloatArray, Side
from tt_hydra.errors import BundleError, ConfigError, TTHydraError
from tt_hydra.export import int8, sentence_transformer
from tt_hydra.export.flat import FlatTower
from tt_hydra.export.folder import origin, refuse_used, write_assets, write_signature
from tt_hydra.export.onnx import OnnxTower, require_packages, write_graph
from tt_hydra.export.readme import README, model_readme, onnx_readme
from tt_hydra.export.result import FLOAT, INT8, TORCH, Exported, ExportedTower, Quantized
from tt_hydra.serve.query import Query
from tt_hydra.serve.retriever import BATCH, Retriever

ROWS = 64
"""Stored queries and items that an exported tower is compared on."""
TOLERANCE = 1e-4
"""Largest difference between two numbers of a vector, in units of 1 or of the largest number of all."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportSettings:
    """What is exported, and where to.

    Attributes:
        bundle: a bundle's or a run's folder, ``latest`` or ``current``.
        format: ``onnx`` for any tower, ``sentence_transformers`` for towers of one text.
        output: folder to write; it appears when it is complete and compared.
        side: which towers.
        quantize: also writes the query tower with 8-bit weights and measures what that costs; with ``format=onnx``.
        sample: how many stored queries that is measured on, at most.
        overwrite: replace an earlier export of that name.
        verify: compare the checksum of every file of the bundle first.
        outputs: root of the runs.
        allow_targets: module prefixes of components of your own that the bundle may name.
    """

    bundle: str = "latest"
    format: Literal["onnx", "sentence_transformers"]
    output: str
    side: Literal["query", "item", "both"] = "both"
    quantize: Literal["int8"] | None = None
    sample: int = 1000
    overwrite: bool = False
    verify: bool = True
    outputs: Path
    allow_targets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.sample < 1:
            raise ConfigError(f"sample={self.sample}: at least 1 query is needed to measure the loss of quantize")
        if self.quantize is not None and self.format != "onnx":
            raise ConfigError(f"quantize={self.quantize} is of format=onnx; a folder of sentence-transformers keeps its weights in float32")
        if self.quantize is not None and self.side == "item":
            raise ConfigError(f"quantize={self.quantize} is for the query tower, which serving runs: set side=query or side=both")

    @property
    def sides(self) -> tuple[Side, ...]:
        """The sides, query first."""
        return ("query", "item") if self.side == "both" else (self.side,)


def export(settings: ExportSettings) -> Exported:
    """Writes a folder with the towers of a bundle.

    Raises:
        BundleError: the bundle is missing, incomplete, damaged or has no towers; or an exported tower gives other vectors.
        ConfigError: the folder is in use, a package is missing, or the towers have no such form.
    """
    output = Path(settings.output).expanduser().absolute()
    refuse_used(output, settings.overwrite)
    if settings.format == "onnx":
        require_packages()
    folder = resolve_bundle(settings.bundle, settings.outputs)
    write = _write_graphs if settings.format == "onnx" else _write_model
    with _unfinished(output) as unfinished:
        retriever = Retriever.load(folder, verify=settings.verify, allow=settings.allow_targets)
        if retriever.bundle.bridge is not None:
            raise BundleError(f"{folder} bridges two models: export the bundle of either of them")
        towers = write(unfinished, retriever, settings)
        publish(unfinished, output)
    return Exported(output, towers)


@contextmanager
def _unfinished(output: Path) -> Iterator[Path]:
    """A folder beside the final one, gone after an error."""
    folder = output.with_name(f".{output.name}.partial")
    with disk_errors(output.parent, f"export to {output}", TTHydraError):
        shutil.rmtree(folder, ignore_errors=True)
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise ConfigError(f"output={output}: no folder can be made there ({error}); give another place") from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _write_graphs(folder: Path, retriever: Retriever, settings: ExportSettings) -> tuple[ExportedTower, ...]:
    bundle, towers = retriever.bundle, retriever.towers
    about, written, inputs, tokenizers = origin(bundle), [], {}, {}
    for side in settings.sides:
        tower = FlatTower(towers, bundle.featurizer.schema, side).eval()
        path = folder / f"{side}.onnx"
        logger.info("%s tower: tracing", side)
        write_graph(tower, path, {**about, "side": side, "schema": [asdict(each) for each in tower.schema.side(side).features]})
        inputs[side] = tower.inputs
        tokenizers[side] = write_assets(folder, bundle, towers, tower.inputs, side)
        written.append(_checked_graph(path, side, retriever, settings))
    signature = {
        each.side: {
            **each.to_json(),
            "inputs": [taken.to_json() for taken in inputs[each.side]],
            "output": {"name": "vectors", "dtype": "float32", "shape": ["rows", about["dim"]]},
            "tokenizers": tokenizers[each.side],
        }
        for each in written
    }
    (folder / README).write_text(onnx_readme(about, inputs), encoding="utf-8")
    write_signature(folder, "onnx", bundle, signature)
    return tuple(written)


def _checked_graph(path: Path, side: Side, retriever: Retriever, settings: ExportSettings) -> ExportedTower:
    graph, features = OnnxTower.load(path), _sample(retriever, side, ROWS)
    difference = _difference(graph.embed(features, retriever.item_text), _original(retriever, side, features), path.name)
    quantized = _quantized(path, graph, retriever, settings.sample) if side == "query" and settings.quantize else None
    return ExportedTower(side=side, file=path.name, bytes=_size(path), rows=features.size, difference=difference, quantized=quantized)


def _quantized(path: Path, graph: OnnxTower, retriever: Retriever, count: int) -> Quantized:
    target = path.with_name(f"{path.stem}.int8.onnx")
    logger.info("query tower: quantizing, and measuring the loss on at most %d stored queries", count)
    int8.quantize(path, target)
    small, text, bundle = OnnxTower.load(target), retriever.item_text, retriever.bundle
    queries = _stored(retriever, count)
    chunks = [retriever.query_features(queries[start : start + BATCH]) for start in range(0, len(queries), BATCH)]
    vectors = [np.concatenate([tower.embed(chunk, text) for chunk in chunks]) for tower in (graph, small)]
    loss = int8.loss(vectors[0], vectors[1], bundle.item_vectors, bundle.manifest.metric)
    arms: dict[str, Callable[[Features], object]] = {TORCH: retriever.towers.embed_queries}
    for name, file in ((FLOAT, path), (INT8, target)):
        arms[name] = _alone(OnnxTower.load(file, threads=1), text)
    singles = [retriever.query_features([query]) for query in queries[: int8.CALLS]]
    weights = sum(each.numel() * each.element_size() for each in retriever.towers.state_for("query").values())
    bytes_of = {TORCH: weights, FLOAT: _size(path), INT8: _size(target)}
    return Quantized(file=target.name, loss=loss, bytes=bytes_of, p50_ms=int8.latencies(arms, singles))


def _alone(tower: OnnxTower, item_text: FloatArray | None) -> Callable[[Features], object]:
    return lambda features: tower.embed(features, item_text)


def _write_model(folder: Path, retriever: Retriever, settings: ExportSettings) -> tuple[ExportedTower, ...]:
    bundle, towers = retriever.bundle, retriever.towers
    sides = sentence_transformer.text_towers(towers, bundle.featurizer.schema, settings.sides)
    sentence_transformer.write_model(folder, sides, bundle.manifest.metric)
    size, written = sum(sizes(folder).values()), []
    for side in settings.sides:
        texts = _texts(retriever, side)
        features = retriever.query_features([Query(text=text) for text in texts]) if side == "query" else retriever.item_features(texts)
        found = sentence_transformer.encode(folder, side, texts)
        difference = _difference(found, _original(retriever, side, features), f"the {side} side of the folder")
        written.append(ExportedTower(side=side, file=".", bytes=size, rows=len(texts), difference=difference))
    (folder / README).write_text(model_readme(origin(bundle), settings.sides), encoding="utf-8")
    write_signature(folder, "sentence_transformers", bundle, {each.side: each.to_json() for each in written})
    return tuple(written)


def _texts(retriever: Retriever, side: Side) -> list[str]:
    """Stored texts of one side that are not blank."""
    name = retriever.towers.texts[side][0]
    column = retriever.bundle.queries[name] if side == "query" else retriever.bundle.items(name)[name]
    texts = [text for text in column.drop_nulls().to_list() if str(text).strip()]
    return [str(texts[row]) for row in _rows(len(texts), ROWS)] or ["a text"]


def _sample(retriever: Retriever, side: Side, count: int) -> Features:
    if side == "query":
        return retriever.query_features(_stored(retriever, count))
    items = retriever.bundle.items()
    return retriever.item_features(items[_rows(len(items), count)])


def _stored(retriever: Retriever, count: int) -> list[Query]:
    identifiers = retriever.bundle.queries["id"]
    return [Query(query_id=identifiers[row]) for row in _rows(len(identifiers), count)]


def _rows(total: int, count: int) -> list[int]:
    """So many of the rows, chosen at random by a fixed seed, ascending."""
    chosen = np.random.default_rng(0).permutation(total)[:count]
    rows: list[int] = np.sort(chosen).tolist()
    return rows


def _original(retriever: Retriever, side: Side, features: Features) -> FloatArray:
    towers = retriever.towers
    with torch.inference_mode():
        vectors: FloatArray = (towers.embed_queries if side == "query" else towers.embed_items)(features).numpy()
    return vectors


def _difference(found: FloatArray, expected: FloatArray, what: str) -> float:
    """The largest one.

    Raises:
        BundleError: it is too large.
    """
    difference = float(np.abs(found - expected).max(initial=0.0))
    allowed = TOLERANCE * max(1.0, float(np.abs(expected).max(initial=0.0)))
    if not difference <= allowed:
        raise BundleError(
            f"{what} gives other vectors than the tower that it was made from: they differ by {difference:.2g}, {allowed:.2g} is allowed. "
            "Nothing was written; this is a fault of the export: try other versions of torch and of the exporter's packages"
        )
    return difference


def _size(path: Path) -> int:
    """Bytes of a graph and of the weights beside it."""
    return sum(each.stat().st_size for each in (path, path.with_name(f"{path.name}.data")) if each.exists())
