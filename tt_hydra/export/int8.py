"""Dynamic quantization of a graph to 8 bits, and what it costs and gains."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from tt_hydra.contracts import Estimate, Features, FloatArray, Metric
from tt_hydra.export.quiet import quiet
from tt_hydra.metrics.ann import ann_recall
from tt_hydra.metrics.exact import exact_search
from tt_hydra.metrics.latency import measure_latency

K = 10
CALLS, ROUNDS = 100, 3
TINY = 1e-12


def quantize(graph: Path, target: Path) -> None:
    """Writes a graph with the weights of its matrix products and tables in 8 bits; what flows between is quantized at each call.

    A column of a matrix has a scale of its own, a table one scale.
    """
    quantization = import_module("onnxruntime.quantization")
    large = graph.with_name(graph.name + ".data").exists()
    with quiet():
        quantization.quantize_dynamic(
            str(graph), str(target), per_channel=True, weight_type=quantization.QuantType.QInt8, use_external_data_format=large
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """How far 8-bit query vectors are from the float ones.

    Attributes:
        queries: how many were compared.
        cosine_mean: mean cosine between a query's two vectors.
        cosine_lowest: the lowest.
        recall: share of the float query's 10 best items, by exact search, that the 8-bit one finds.
    """

    queries: int
    cosine_mean: float
    cosine_lowest: float
    recall: Estimate

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        plain = {name: getattr(self, name) for name in ("queries", "cosine_mean", "cosine_lowest")}
        return {**plain, f"recall@{K}": asdict(self.recall)}


def loss(exact: FloatArray, quantized: FloatArray, items: FloatArray, metric: Metric) -> Loss:
    """Compares two vectors of each query, directly and by what they find among the items.

    Args:
        exact: ``(queries, dim)`` of the float tower.
        quantized: the same of the 8-bit one.
        items: ``(items, dim)``.
        metric: similarity that items are ranked by.
    """
    k = min(K, len(items))
    wanted, found = (exact_search(vectors, items, k, metric) for vectors in (exact, quantized))
    cosines = cosine(exact, quantized)
    recall = ann_recall(found, wanted, exact, items, metric)
    return Loss(queries=len(exact), cosine_mean=float(cosines.mean()), cosine_lowest=float(cosines.min()), recall=recall)


def cosine(left: FloatArray, right: FloatArray) -> FloatArray:
    """Cosine of each pair of rows; 1 where both are zero, 0 where one is."""
    wide = [vectors.astype(np.float64) for vectors in (left, right)]
    norms = [np.linalg.norm(vectors, axis=1) for vectors in wide]
    zero = [norm <= TINY for norm in norms]
    cosines = (wide[0] * wide[1]).sum(axis=1) / np.where(zero[0] | zero[1], 1.0, norms[0] * norms[1])
    return np.where(zero[0] & zero[1], 1.0, cosines).astype(np.float32)


def latencies(arms: Mapping[str, Callable[[Features], object]], queries: Sequence[Features]) -> dict[str, float]:
    """Median milliseconds of one query at a time, one thread, by arm.

    The arms take turns, so that whatever else the machine does meets all of them; each figure is the middle one of its turns.

    Args:
        arms: what embeds a query.
        queries: features of single queries.
    """
    turns: dict[str, list[float]] = {name: [] for name in arms}
    with one_thread(), torch.inference_mode():
        for _ in range(ROUNDS):
            for name, arm in arms.items():
                timed = measure_latency(lambda number, arm=arm: arm(queries[number]), min(CALLS, len(queries)), warm_up=5)  # type: ignore[misc]
                turns[name].append(timed.p50_ms)
    return {name: median(found) for name, found in turns.items()}


@contextmanager
def one_thread() -> Iterator[None]:
    """Runs torch with one thread inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
