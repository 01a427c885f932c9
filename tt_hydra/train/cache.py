"""Gradient caching (Gao et al. 2021): the gradient of a large batch in the memory of a small one.

A loss over a batch needs every vector of it at once, but not every tower's activations. First all rows are embedded in chunks without
a graph; the loss on these vectors gives the gradient by each vector; then each chunk is embedded again, with the random state that it
had, and its part of the vectors' gradient goes through it. Sums over chunks are the gradient of the whole batch, dropout included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.distributed as dist
from torch import Tensor, nn

from tt_hydra.contracts import Batch, Features, History, Padded
from tt_hydra.tower.two_tower import TwoTower
from tt_hydra.train.gather import world_size


class GradientCache:
    """Embeds batches a chunk of rows at a time.

    Args:
        towers: whose gradient is wanted.
        micro_batch_size: rows of one side that are embedded at once.
        context: in which a chunk is embedded anew: autocast, as around the first time.
    """

    def __init__(
        self, towers: TwoTower, micro_batch_size: int, context: Callable[[], AbstractContextManager[object]] = nullcontext
    ) -> None:
        self._towers, self._size, self._context = towers, micro_batch_size, context
        self._sides: tuple[ChunkedSide, ...] = ()

    def embed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Vectors of the batch's queries and items, which are leaves of the graph: ``backward`` reads their gradients."""
        self._sides = (
            ChunkedSide(self._towers.embed_queries, batch.queries, self._size),
            ChunkedSide(self._towers.embed_items, batch.items, self._size),
        )
        queries, items = (side.vectors for side in self._sides)
        return queries, items

    def backward(self) -> None:
        """Takes the vectors' gradients, once a loss left them, on to the towers' weights."""
        for side in self._sides:
            side.backward(self._context)
        self._sides = ()


class ChunkedSide:
    """The rows of one side of a batch, of which one chunk at a time has a graph.

    Attributes:
        vectors: ``(rows, dim)``, a leaf of the graph.
    """

    def __init__(self, embed: Callable[[Features], Tensor], features: Features, size: int) -> None:
        self._embed, self._features = embed, features
        order = longest_first(features)
        self._chunks = torch.split(order, size)
        self._states: list[RandomState] = []
        with torch.no_grad():
            parts = [self._first_time(chunk) for chunk in self._chunks]
            joined = torch.cat(parts)
            self.vectors = torch.empty_like(joined).index_copy_(0, order, joined)
        self.vectors.requires_grad_()

    def _first_time(self, chunk: Tensor) -> Tensor:
        self._states.append(RandomState(chunk.device))
        return self._embed(self._features.take(chunk))

    def backward(self, context: Callable[[], AbstractContextManager[object]]) -> None:
        """Embeds each chunk as before and takes the gradient of its vectors through it."""
        gradient = self.vectors.grad
        if gradient is None:
            return
        for chunk, state in zip(self._chunks, self._states, strict=True):
            state.restore()
            with context():
                vectors = self._embed(self._features.take(chunk))
            if vectors.requires_grad:
                vectors.backward(gradient[chunk])  # type: ignore[no-untyped-call]


class RandomState:
    """Where the random generators of the CPU and of a device stand."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._cpu = torch.get_rng_state()
        self._own = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    def restore(self) -> None:
        """Puts the generators back there."""
        torch.set_rng_state(self._cpu)
        if self._own is not None:
            torch.cuda.set_rng_state(self._own, self._device)


def longest_first(features: Features) -> Tensor:
    """Row numbers, longest texts and histories first, so that chunks need little padding; as they are where there are none."""
    masks = [_mask(value) for value in features.values.values() if not isinstance(value, Tensor)]
    if not masks:
        device = next((value.device for value in features.values.values() if isinstance(value, Tensor)), None)
        return torch.arange(features.size, device=device)
    lengths = torch.stack([mask.sum(dim=1) for mask in masks]).sum(dim=0)
    return torch.argsort(lengths, descending=True, stable=True)


def _mask(value: Padded | History) -> Tensor:
    return value.mask if isinstance(value, Padded) else value.positions.mask


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Replaces each gradient by its mean over the ranks, as DDP would: zero on a rank that has none, none where no rank has one."""
    if not parameters:
        return
    present = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.uint8, device=parameters[0].device)
    dist.all_reduce(present, dist.ReduceOp.MAX)
    waiting = []
    for parameter in (parameter for parameter, there in zip(parameters, present.tolist(), strict=True) if there):
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        parameter.grad /= world_size()
        waiting.append(dist.all_reduce(parameter.grad, async_op=True))
    for work in waiting:
        work.wait()
