"""BERT encoders on packed tokens: linear layers, norms and activations see no padding. For the CPU, where padding costs as much as text."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tt_hydra.tower.dropout import dropout, dropout_add_norm
from tt_hydra.tower.kept import KeptWeights
from tt_hydra.tower.packed_attention import Layout, attend, layout_of

logger = logging.getLogger(__name__)

KNOWN = {"BertModel": False, "RobertaModel": True, "XLMRobertaModel": True, "CamembertModel": True}
"""Encoders of ``transformers`` whose forward this is, and whether their position numbers begin after the padding's."""

LEAST_ROWS = 8
"""The number of rows is a multiple of this."""


def packs(encoder: Any) -> bool:
    """Whether ``PackedBert`` computes what this encoder does."""
    config = encoder.config
    plain = not getattr(config, "is_decoder", False) and not getattr(config, "add_cross_attention", False)
    absolute = getattr(config, "position_embedding_type", "absolute") == "absolute"
    return type(encoder).__name__ in KNOWN and plain and absolute


def unpacked(vectors: Tensor, mask: Tensor) -> Tensor:
    """Packed token vectors as ``(rows, length, width)``, zeros where ``mask (rows, length)`` is false."""
    return _Unpack.apply(vectors, mask.flatten().nonzero().flatten(), mask.shape)  # type: ignore[no-any-return, no-untyped-call]


class _Unpack(torch.autograd.Function):
    """As indexing, but the gradient is a gather: no position occurs twice."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, places: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(places)
        result = vectors.new_zeros(shape.numel(), vectors.shape[1])
        result.index_copy_(0, places, vectors)
        return result.view(*shape, -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return gradients[0].flatten(0, 1).index_select(0, places), None, None


class PackedBert:
    """The forward of a BERT encoder over sequences that follow each other without padding; its weights stay the encoder's.

    Args:
        encoder: a model of ``transformers`` for which ``packs`` holds.
        kept: its weights as forwards without gradient take them, shared by all that are made of this encoder.
    """

    def __init__(self, encoder: Any, kept: KeptWeights) -> None:
        self._encoder, self._kept = encoder, kept
        self._first_position = int(encoder.config.pad_token_id) + 1 if KNOWN[type(encoder).__name__] else 0

    def __call__(self, ids: Tensor, lengths: list[int]) -> Tensor:
        """Token vectors ``(tokens, width)``, under autocast in its type.

        Args:
            ids: ``(tokens,)`` token ids of all sequences.
            lengths: of each sequence; sequences of one length are best neighbours.
        """
        tokens = len(ids)
        left = _rounded(tokens + 1) - tokens
        layout = layout_of(lengths, tokens + left)
        vectors = self._embed(functional.pad(ids, (0, left)), [*lengths, *[1] * left])
        if torch.is_autocast_enabled("cpu"):
            vectors = vectors.to(torch.get_autocast_dtype("cpu"))
        for module in self._encoder.encoder.layer:
            fusible = _fusible(module, vectors.dtype)
            vectors = _fused_layer(module, vectors, layout, self._kept) if fusible else _layer(module, vectors, layout)
        return vectors[:tokens]

    def _embed(self, ids: Tensor, lengths: list[int]) -> Tensor:
        embeddings = self._encoder.embeddings
        positions = torch.tensor(list(chain.from_iterable(map(range, lengths)))) + self._first_position
        kind = embeddings.token_type_embeddings.weight[0]
        vectors = embeddings.word_embeddings(ids) + kind + embeddings.position_embeddings(positions)
        return dropout(embeddings.LayerNorm(vectors), _share(embeddings.dropout))


def _rounded(tokens: int) -> int:
    """So many tokens, or up to a thirty-second more.

    oneDNN compiles its kernels for each number of rows, which takes longer than to run them; so there are few such numbers.
    """
    step = max(LEAST_ROWS, (1 << tokens.bit_length() - 1) // 32)
    return -(-tokens // step) * step


def _layer(layer: Any, vectors: Tensor, layout: Layout) -> Tensor:
    own, joined = layer.attention.self, layer.attention.output
    qkv = _project(vectors, own.query, own.key, own.value)
    mixed = attend(qkv.view(len(qkv), 3, own.num_attention_heads, -1), layout, _share(own.dropout))
    vectors = dropout_add_norm(joined.dense(mixed), vectors, joined.LayerNorm, _share(joined.dropout))
    inner = layer.intermediate.intermediate_act_fn(layer.intermediate.dense(vectors))
    return dropout_add_norm(layer.output.dense(inner), vectors, layer.output.LayerNorm, _share(layer.output.dropout))


def _project(vectors: Tensor, *layers: Callable[[Tensor], Tensor]) -> Tensor:
    """The layers' results side by side, ``(tokens, sum of widths)``, in one multiplication where all are plain."""
    plain = [layer for layer in layers if type(layer) is nn.Linear]
    if len(plain) < len(layers):
        return torch.cat([layer(vectors) for layer in layers], dim=1)
    return functional.linear(vectors, torch.cat([layer.weight for layer in plain]), torch.cat([layer.bias for layer in plain]))


def _fusible(layer: Any, dtype: torch.dtype) -> bool:
    """Whether oneDNN can run activation and residual inside of the multiplications: no gradient, no dropout, plain layers, a known type."""
    own, joined, up, down = layer.attention.self, layer.attention.output, layer.intermediate, layer.output
    plain = all(type(linear) is nn.Linear for linear in (own.query, own.key, own.value, joined.dense, up.dense, down.dense))
    erf = type(up.intermediate_act_fn).__name__ == "GELUActivation"
    idle = not torch.is_grad_enabled() and not layer.training
    return plain and erf and idle and _onednn_knows(dtype)


@cache
def _onednn_knows(dtype: torch.dtype) -> bool:
    """Whether oneDNN is there and multiplies numbers of this type on this CPU."""
    has_onednn: bool = torch._C._has_mkldnn
    return has_onednn and (dtype is not torch.bfloat16 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()))


def _fused_layer(layer: Any, vectors: Tensor, layout: Layout, kept: KeptWeights) -> Tensor:
    own, joined, up, down = layer.attention.self, layer.attention.output, layer.intermediate, layer.output
    dtype, fused = vectors.dtype, torch.ops.mkldnn._linear_pointwise
    with torch.autocast("cpu", enabled=False):
        qkv = fused(vectors, *kept.of(dtype, own.query, own.key, own.value), "none", [], "none")
        mixed = attend(qkv.view(len(qkv), 3, own.num_attention_heads, -1), layout, 0.0)
        vectors = joined.LayerNorm(fused.binary(mixed, vectors, *kept.of(dtype, joined.dense), "add"))
        inner = fused(vectors, *kept.of(dtype, up.dense), "gelu", [], "none")
        return down.LayerNorm(fused.binary(inner, vectors, *kept.of(dtype, down.dense), "add"))  # type: ignore[no-any-return]


def _share(module: nn.Dropout) -> float:
    return module.p if module.training else 0.0
