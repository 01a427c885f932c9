"""Weights in the form in which a forward without gradient takes them."""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

FEW_ROWS = 16
"""Rows for which oneDNN orders weights: those of a single short text, where reordering weighs most."""


class KeptWeights:
    """Linear layers side by side, in the type that is asked for; kept until one of their weights is changed.

    Under autocast a single query spends more time on turning weights into bf16 than on everything else. A change is seen by where a
    weight lies and by its version, which fused optimizers of torch and writes through ``.data`` leave as it is: after those, ``clear``.
    Copies and pickles begin with nothing.
    """

    def __init__(self) -> None:
        self._kept: dict[nn.Linear, _Kept] = {}

    def of(self, dtype: torch.dtype, *layers: nn.Linear) -> tuple[Tensor, Tensor]:
        """Weights ``(sum of widths, input width)`` and biases ``(sum of widths,)`` of layers that are always asked for together.

        In bf16 the weights are in oneDNN's own order, in which only its operators take them; else each call would reorder them.
        """
        sources = [part for layer in layers for part in (layer.weight, layer.bias)]
        state = (dtype, *map(_state, sources))
        kept = self._kept.get(layers[0])
        if kept is None or kept.state != state:
            weights, biases = _joined(sources[::2], dtype), _joined(sources[1::2], dtype)
            if dtype is torch.bfloat16:
                weights = torch.ops.mkldnn._reorder_linear_weight(weights, FEW_ROWS)
            self._kept[layers[0]] = kept = _Kept(state, sources, weights, biases)
        return kept.weights, kept.biases

    def clear(self) -> None:
        """Frees what is kept."""
        self._kept.clear()

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        return type(self), ()


class _Kept(NamedTuple):
    """Joined weights; their sources stay alive, so that no other weight can take a place that ``state`` names."""

    state: tuple[object, ...]
    sources: list[Tensor]
    weights: Tensor
    biases: Tensor


def _state(weight: Tensor) -> tuple[int, int, int]:
    return id(weight), weight.data_ptr(), 0 if weight.is_inference() else weight._version


def _joined(parts: list[Tensor], dtype: torch.dtype) -> Tensor:
    return (parts[0] if len(parts) == 1 else torch.cat(parts)).detach().to(dtype)
