"""Weights in the form in which a forward without gradient takes them."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

FEW_ROWS = 16
"""Rows for which oneDNN orders weights: those of a single short text, where reordering weighs most."""


class KeptWeights:
    """Linear layers side by side, in the type that is asked for; kept until one of their weights is changed.

    Under autocast a single query spends more time on turning weights into bf16 than on everything else. A change is seen by where a
    weight lies and by its version, which fused optimizers of torch leave as it is: after a step of theirs, ``clear``.
    """

    def __init__(self) -> None:
        self._kept: dict[nn.Linear, tuple[tuple[object, ...], Tensor, Tensor]] = {}

    def of(self, dtype: torch.dtype, *layers: nn.Linear) -> tuple[Tensor, Tensor]:
        """Weights ``(sum of widths, input width)`` and biases ``(sum of widths,)`` of layers that are always asked for together.

        In bf16 the weights are in oneDNN's own order, in which only its operators take them; else each call would reorder them.
        """
        state = (dtype, *(_state(part) for layer in layers for part in (layer.weight, layer.bias)))
        kept = self._kept.get(layers[0])
        if kept is None or kept[0] != state:
            weights, biases = (_joined([getattr(layer, name) for layer in layers], dtype) for name in ("weight", "bias"))
            kept = state, torch.ops.mkldnn._reorder_linear_weight(weights, FEW_ROWS) if dtype is torch.bfloat16 else weights, biases
            self._kept[layers[0]] = kept
        return kept[1:]

    def clear(self) -> None:
        """Frees what is kept."""
        self._kept.clear()

    def __deepcopy__(self, memo: object) -> Self:
        return type(self)()


def _state(weight: Tensor) -> tuple[int, int]:
    return weight.data_ptr(), 0 if weight.is_inference() else weight._version


def _joined(parts: list[Tensor], dtype: torch.dtype) -> Tensor:
    return (parts[0] if len(parts) == 1 else torch.cat(parts)).detach().to(dtype)
