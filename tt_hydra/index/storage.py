"""An index in a folder: ``index.json`` says what it is and how to search it, ``index.faiss`` is its FAISS part."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from tt_hydra.component import instantiate, spec_of
from tt_hydra.errors import BundleError, IndexSpecError, TTHydraError
from tt_hydra.index.check import IndexSpec, Quantization
from tt_hydra.index.faiss_index import FaissIndex, Header

HEADER_FILE = "index.json"
FAISS_FILE = "index.faiss"
FORMAT = 1


def save(index: faiss.Index, header: Header, folder: Path) -> None:
    """Writes both files under an existing folder."""
    faiss.write_index(index, str(folder / FAISS_FILE))
    content = {
        "format": FORMAT,
        "index": spec_of(header.spec),
        "quantization": spec_of(header.quantization),
        "metric": header.metric,
        "dim": header.dim,
        "prefix_dim": header.prefix_dim,
        "size": header.size,
        "search_params": dict(header.search_params),
    }
    (folder / HEADER_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def load_index(folder: Path, vectors: npt.NDArray[np.generic] | None = None) -> FaissIndex:
    """Reads an index; it answers as the one that was saved.

    Args:
        folder: where ``save`` wrote it.
        vectors: the ``(size, dim)`` matrix that it was built on (a memory-mapped ``items.npy``): needed for rescoring only.

    Raises:
        BundleError: a file is missing or damaged.
        IndexSpecError: ``vectors`` are of another shape.
    """
    header = _read_header(folder / HEADER_FILE)
    index = _read_faiss(folder / FAISS_FILE)
    if (index.ntotal, index.d) != (header.size, header.width):
        raise BundleError(
            f"{folder / FAISS_FILE} holds {index.ntotal} x {index.d} vectors, {HEADER_FILE} says {header.size} x {header.width}: "
            "the files belong to different indexes; build the index again"
        )
    if vectors is not None and vectors.shape != (header.size, header.dim):
        raise IndexSpecError(f"vectors have shape {vectors.shape}, the index was built on {(header.size, header.dim)}")
    return FaissIndex(index, header, vectors)


def bytes_on_disk(folder: Path, vectors: Path | None = None) -> int:
    """Bytes that serving the index needs: its files, and the file of full vectors if its searches rescore with them.

    Args:
        folder: where the index was saved.
        vectors: the file of full vectors; counted only where the saved ``refine`` is above 0.

    Raises:
        BundleError: a file is missing or damaged.
    """
    header = _read_header(folder / HEADER_FILE)
    files = [folder / HEADER_FILE, folder / FAISS_FILE]
    if vectors is not None and header.search_params.get("refine"):
        files.append(vectors)
    return sum(_size(file) for file in files)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError as error:
        raise BundleError(f"{file} cannot be read: {error}") from error


def _read_header(file: Path) -> Header:
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise BundleError(f"{file} is of format {content['format']}, this version reads format {FORMAT}: build the index again")
        return _header(content)
    except BundleError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, TTHydraError) as error:
        raise BundleError(f"{file} is missing or damaged ({type(error).__name__}: {error}): build the index again") from error


def _header(content: Mapping[str, Any]) -> Header:
    spec, quantization = (instantiate(content[key], object) for key in ("index", "quantization"))
    if not isinstance(spec, IndexSpec) or not isinstance(quantization, Quantization):
        raise TypeError(f"{spec!r} with {quantization!r} is no index with a quantization")
    metric = content["metric"]
    if metric not in ("dot", "cosine"):
        raise ValueError(f"metric {metric!r} is neither dot nor cosine")
    params = {str(name): int(value) for name, value in content["search_params"].items()}
    dim, prefix_dim = int(content["dim"]), content.get("prefix_dim")
    if prefix_dim is not None and not 1 <= prefix_dim < dim:
        raise ValueError(f"prefix_dim {prefix_dim} does not fit {dim} dimensions")
    return Header(spec, quantization, metric, dim, int(content["size"]), params, prefix_dim)


def _read_faiss(file: Path) -> faiss.Index:
    try:
        return faiss.read_index(str(file))
    except (RuntimeError, MemoryError) as error:
        reason = str(error).rpartition("Error: ")[2].strip() or type(error).__name__
        raise BundleError(f"{file} is missing or damaged ({reason}): build the index again") from error
