"""A tower as an ONNX graph, and the session that runs it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from tt_hydra.contracts import Features, FloatArray, Side
from tt_hydra.errors import BundleError, ConfigError, interruption
from tt_hydra.export.flat import FlatTower
from tt_hydra.export.inputs import Input, example, flatten
from tt_hydra.export.quiet import quiet

OUTPUT = "vectors"
PREFIX = "tt_hydra."
"""Of the names of our metadata in a graph."""
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def require_packages() -> None:
    """Raises ConfigError where a package is missing that an export to ONNX needs."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise ConfigError(f"format=onnx needs {', '.join(missing)}, not installed here: pip install 'tt-hydra[onnx]'")


def write_graph(tower: FlatTower, path: Path, metadata: Mapping[str, Any]) -> None:
    """Writes a tower as one ``.onnx`` file; beyond 2 GB its weights go to ``.onnx.data`` beside it.

    Axes that have a name in ``Input.shape`` may have any length from 1 on.

    Args:
        tower: in evaluation mode.
        path: of the file.
        metadata: goes into the graph's ``metadata_props``, each value as JSON, its name after ``tt_hydra.``.

    Raises:
        ConfigError: the tower has a part that cannot be traced.
    """
    with quiet(), torch.no_grad():
        program = _traced(tower)
        _forget_origin(program.model)
        about = {**metadata, "inputs": [each.to_json() for each in tower.inputs]}
        program.model.metadata_props.update({PREFIX + name: json.dumps(value, ensure_ascii=False) for name, value in about.items()})
        program.save(str(path))


def _traced(tower: FlatTower) -> Any:
    inputs = tower.inputs
    axes = tuple({place: axis for place, axis in enumerate(each.shape) if isinstance(axis, str)} for each in inputs)
    names = [each.name for each in inputs]
    try:
        return torch.onnx.export(
            tower, example(inputs), input_names=names, output_names=[OUTPUT], dynamic_shapes=(axes,), dynamo=True, verbose=False
        )
    except Exception as error:
        if (stop := interruption(error)) is not None:
            raise stop from None
        cause = str(error.__cause__ or error).strip() or type(error).__name__
        raise ConfigError(
            f"format=onnx: torch.onnx.export cannot trace the {tower.side} tower: {cause.splitlines()[0]} "
            "A component of your own must not look at values where shapes depend on them; an encoder may not be known to the exporter yet"
        ) from error


def _forget_origin(model: Any) -> None:
    """Drops what the exporter notes at each node: stack traces with the paths of this machine, several times the graph itself."""
    model.metadata_props.clear()
    for graph in (model.graph, *(function.graph for function in model.functions.values())):
        graph.metadata_props.clear()
        for node in graph.all_nodes():
            node.metadata_props.clear()
            node.doc_string = None
            for value in node.outputs:
                value.metadata_props.clear()
        for value in (*graph.inputs, *graph.initializers.values()):
            value.metadata_props.clear()


@dataclass(frozen=True)
class OnnxTower:
    """A tower in ONNX Runtime, in the place of ``TwoTower.embed_queries`` or ``embed_items``.

    Attributes:
        session: of onnxruntime.
        inputs: that the graph takes.
        metadata: that ``write_graph`` was given.
    """

    session: Any
    inputs: tuple[Input, ...]
    metadata: Mapping[str, Any]

    @classmethod
    def load(cls, path: Path | str, threads: int | None = None) -> OnnxTower:
        """Opens a graph that ``write_graph`` wrote, on the CPU.

        Args:
            path: of the ``.onnx`` file.
            threads: that one call may use; None for all cores.

        Raises:
            BundleError: there is no such file, or it is no tower of ours.
            ConfigError: onnxruntime is not installed.
        """
        if find_spec("onnxruntime") is None:
            raise ConfigError("a tower in ONNX needs onnxruntime, not installed here: pip install 'tt-hydra[onnx]'")
        runtime = import_module("onnxruntime")
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = options.inter_op_num_threads = threads
        try:
            session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise BundleError(f"{path} cannot be read as an ONNX graph: {str(error).splitlines()[0]}") from error
        held = session.get_modelmeta().custom_metadata_map
        about = {name.removeprefix(PREFIX): json.loads(value) for name, value in held.items() if name.startswith(PREFIX)}
        if "inputs" not in about:
            raise BundleError(f"{path} was not written by `python -m tt_hydra export`: it says nothing about its inputs")
        return cls(session, tuple(map(Input.from_json, about.pop("inputs"))), about)

    @property
    def side(self) -> Side:
        """Whose tower it is."""
        side: Side = self.metadata["side"]
        return side

    def require_model(self, fingerprint: str) -> None:
        """Raises BundleError unless it was made from the model of this fingerprint (``Manifest.model_fingerprint``)."""
        if self.metadata["model_fingerprint"] != fingerprint:
            raise BundleError(
                f"this ONNX graph is the {self.side} tower of model {self.metadata['model_fingerprint']}, the bundle holds model "
                f"{fingerprint}: a query tower never searches vectors of another item tower. Export the bundle again"
            )

    def embed(self, features: Features, item_text: FloatArray | None = None) -> FloatArray:
        """Vectors ``(rows, dim)`` float32.

        Args:
            features: of the tower's side, as the bundle's featurizer gives them.
            item_text: text vectors of the catalogue, ``(num_items, width)``, where a history reads them.
        """
        vectors: FloatArray = self.session.run([OUTPUT], flatten(features, self.inputs, item_text))[0]
        return vectors
