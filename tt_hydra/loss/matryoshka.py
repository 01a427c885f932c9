"""Matryoshka: any loss on several prefixes of the vectors at once, so that a model's vectors can be cut after training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from tt_hydra.contracts import Loss, LossOutput, Metric, Targets
from tt_hydra.errors import ConfigError
from tt_hydra.loss.sampled_softmax import SampledSoftmax
from tt_hydra.loss.tiles import at_least_float32


@dataclass(frozen=True, kw_only=True, slots=True)
class Matryoshka:
    """Weighted mean of a loss on the whole vectors, with weight 1, and on their prefixes (Kusupati et al. 2022).

    Attributes:
        inner: the loss.
        dims: widths of the prefixes, each below ``embedding_dim``.
        weights: of the prefixes, in their order; None for 1 each.
        metric: the run's; under cosine a prefix is brought to length 1 again, as a cut vector is when it is searched.
    """

    inner: Loss = field(default_factory=SampledSoftmax)
    dims: tuple[int, ...] = (32, 16)
    weights: tuple[float, ...] | None = None
    metric: Metric = "cosine"

    def __post_init__(self) -> None:
        if isinstance(self.inner, Matryoshka):
            raise ConfigError("loss.inner is a matryoshka itself; list all widths in one loss.dims")
        if not self.dims or min(self.dims) < 1 or len(set(self.dims)) < len(self.dims):
            raise ConfigError(f"loss.dims are one or more different widths of at least 1, got {list(self.dims)}")
        if self.weights is not None and (len(self.weights) != len(self.dims) or min(self.weights) < 0):
            raise ConfigError(f"loss.weights are one number from 0 for each of loss.dims={list(self.dims)}, got {list(self.weights)}")

    @property
    def uses_temperature(self) -> bool:
        """Whether the inner loss does."""
        return self.inner.uses_temperature

    @property
    def uses_log_q(self) -> bool:
        """Whether the inner loss does."""
        return self.inner.uses_log_q

    def build(self) -> MatryoshkaLoss:
        """A module that holds the inner loss."""
        return MatryoshkaLoss(self)


class MatryoshkaLoss(nn.Module):
    """The inner loss, whose weights all widths share."""

    def __init__(self, spec: Matryoshka) -> None:
        super().__init__()
        self.inner = spec.inner.build()
        self._spec = spec

    def forward(self, queries: Tensor, items: Tensor, targets: Targets, temperature: Tensor) -> LossOutput:
        """The inner loss over all widths; every figure but the loss and its parts is that of the whole vectors.

        Args:
            queries: ``(batch, dim)``.
            items: ``(items, dim)``.
            targets: what the inner loss reads.
            temperature: scalar.

        Raises:
            ConfigError: a prefix is not shorter than the vectors.
        """
        dims, weights = self._spec.dims, self._spec.weights or (1.0,) * len(self._spec.dims)
        if max(dims) >= queries.shape[1]:
            raise ConfigError(f"loss.dims={list(dims)} must lie below the vectors' width, which is {queries.shape[1]}")
        queries, items = at_least_float32(queries), at_least_float32(items)
        whole = self.inner(queries, items, targets, temperature)
        total, parts = whole.loss, {f"loss_{queries.shape[1]}": whole.loss.detach()}
        for dim, weight in zip(dims, weights, strict=True):
            loss = self.inner(self._prefix(queries, dim), self._prefix(items, dim), targets, temperature).loss
            total = total + weight * loss
            parts[f"loss_{dim}"] = loss.detach()
        return replace(whole, loss=total / (1.0 + sum(weights)), parts={**whole.parts, **parts})

    def _prefix(self, vectors: Tensor, dim: int) -> Tensor:
        with torch.autocast(vectors.device.type, enabled=False):
            return normalize(vectors[:, :dim], dim=1) if self._spec.metric == "cosine" else vectors[:, :dim]


def trained_prefixes(loss: object) -> tuple[int, ...]:
    """Widths of the prefixes that a loss trains, itself or through a loss within it; ascending."""
    if isinstance(loss, Mapping):
        inner: Iterable[object] = loss.values()
    elif is_dataclass(loss):
        inner = [getattr(loss, part.name) for part in fields(loss)]
    else:
        return ()
    own = loss.dims if isinstance(loss, Matryoshka) else ()
    return tuple(sorted({*own, *(dim for part in inner for dim in trained_prefixes(part))}))
