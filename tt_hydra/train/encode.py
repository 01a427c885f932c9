"""Vectors of a whole prepared data set, a chunk of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from tt_hydra.contracts import Features, FloatArray
from tt_hydra.data.dataset import Dataset
from tt_hydra.tower.two_tower import TwoTower
from tt_hydra.train.precision import Precision, autocast


@contextmanager
def evaluating(towers: TwoTower) -> Iterator[torch.device]:
    """Dropout off and no gradient; the mode and the random state come back afterwards. Yields the device of the weights."""
    training, state = towers.training, torch.get_rng_state()
    towers.eval()
    try:
        with torch.inference_mode():
            yield next(towers.parameters()).device
    finally:
        towers.train(training)
        torch.set_rng_state(state)


def embed_items(towers: TwoTower, dataset: Dataset, batch_size: int, precision: Precision = "32") -> FloatArray:
    """Vectors of the whole catalogue, ``(num_items, dim)``, in row order."""
    with evaluating(towers) as device:
        embed = lambda rows: towers.embed_items(dataset.items(rows).to(device))  # noqa: E731
        return _chunked(embed, dataset.num_items, towers.dim, batch_size, device, precision)


def embed_queries(
    towers: TwoTower, dataset: Dataset, part: Literal["valid", "test"], batch_size: int, precision: Precision = "32"
) -> FloatArray:
    """Vectors of an evaluation part's queries, ``(queries, dim)``, in its order."""
    count = len(dataset.eval_part(part).query_rows)
    with evaluating(towers) as device:
        embed = lambda index: towers.embed_queries(dataset.queries(part, index).to(device))  # noqa: E731
        return _chunked(embed, count, towers.dim, batch_size, device, precision)


def refresh_item_text(towers: TwoTower, dataset: Dataset, batch_size: int, precision: Precision = "32") -> None:
    """Encodes every item's text into the cache that histories (and a frozen text encoder) read, where it is missing or stale."""
    if not towers.needs_item_text or (towers.item_text is not None and not towers.item_text_changes):
        return
    with evaluating(towers) as device:
        chunks = [
            _float(towers.item_text_vectors, dataset.items(rows).to(device), device, precision)
            for rows in _rows(dataset.num_items, batch_size)
        ]
    towers.set_item_text(torch.cat(chunks).clone())


def _rows(count: int, batch_size: int) -> list[np.ndarray[tuple[int], np.dtype[np.int64]]]:
    return [np.arange(start, min(start + batch_size, count)) for start in range(0, count, batch_size)]


def _chunked(
    embed: Callable[[np.ndarray[tuple[int], np.dtype[np.int64]]], Tensor],
    count: int,
    dim: int,
    batch_size: int,
    device: torch.device,
    precision: Precision,
) -> FloatArray:
    vectors = np.empty((count, dim), dtype=np.float32)
    for rows in _rows(count, batch_size):
        with autocast(device, precision):
            chunk = embed(rows)
        vectors[rows] = chunk.float().cpu().numpy()
    return vectors


def _float(encode: Callable[[Features], Tensor], features: Features, device: torch.device, precision: Precision) -> Tensor:
    with autocast(device, precision):
        return encode(features).float()
