"""A Hugging Face encoder as a text encoder."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from tt_hydra.contracts import Padded, Pooling
from tt_hydra.tower.kept import KeptWeights
from tt_hydra.tower.packed import PackedBert, packs, unpacked
from tt_hydra.tower.pretrained import save_config
from tt_hydra.tower.spec import TextEncoder

logger = logging.getLogger(__name__)

NO_TOKEN = -1
"""Stands at padded positions while texts are compared."""
TOKENS_AT_A_TIME = 8192
"""Packed tokens that are encoded together: their activations should stay in the cache."""
ROWS_AT_A_TIME = {"cpu": 64}
"""Texts of similar length that are encoded together, by device type."""
ROWS_AT_A_TIME_ELSEWHERE = 512


class Transformer(TextEncoder):
    """Token vectors of a pretrained encoder, pooled.

    On a CPU a BERT encodes tokens without padding (``tt_hydra.tower.packed``). Elsewhere, and with other encoders, texts are sorted
    by length and encoded in groups that are padded to their own longest, so that a long text does not make the short ones costly.
    Tokens are moved to the front first: position numbers do not depend on where the padding stood. A text that comes several times is
    encoded once, in training too, where all of its rows then share their dropout.

    Args:
        encoder: a model of ``transformers``.
        pooling: joins token vectors.
        frozen_layers: how many of the lowest layers keep their weights, the token embeddings with them; 0 freezes nothing,
            None everything, the pooling's weights included.
        lr_scale: factor on the learning rate of the encoder.
        layer_lr_decay: further factor for each layer below the top one.
    """

    pretrained = standalone = cached = True

    def __init__(self, encoder: Any, pooling: Pooling, frozen_layers: int | None, lr_scale: float, layer_lr_decay: float) -> None:
        super().__init__()
        self.width = int(encoder.config.hidden_size)
        self.encoder = encoder
        self.pool = pooling.build(self.width)
        self.lr_scale, self.layer_lr_decay = lr_scale, layer_lr_decay
        self.layers = layer_count(encoder)
        self.trained = frozen_layers is not None
        self._kept = KeptWeights()
        self._freeze(frozen_layers)
        self.train()
        if not packs(encoder):
            logger.info("texts are padded to be encoded: the forward without padding does not know %s", type(encoder).__name__)

    def forward(self, tokens: Padded) -> Tensor:
        """Vectors ``(rows, width)``; zeros for a text without tokens."""
        lengths = tokens.mask.sum(dim=1)
        longest = int(lengths.max()) if len(lengths) else 0
        if longest == 0:
            return torch.zeros(len(lengths), self.width, device=tokens.ids.device)
        front = (~tokens.mask).to(torch.uint8).argsort(dim=1, stable=True)[:, :longest]
        texts, number = torch.unique(tokens.ids.masked_fill(~tokens.mask, NO_TOKEN).gather(1, front), dim=0, return_inverse=True)
        order = (texts != NO_TOKEN).sum(dim=1).argsort(descending=True, stable=True)
        ids, mask = texts[order], (texts != NO_TOKEN)[order]
        pooled = self._packed(ids, mask) if ids.device.type == "cpu" and packs(self.encoder) else self._padded(ids, mask)
        return functional.embedding(order.argsort()[number], torch.cat(pooled))

    def _packed(self, ids: Tensor, mask: Tensor) -> list[Tensor]:
        """Vectors of texts sorted by falling length, in groups of about as many tokens."""
        encode = PackedBert(self.encoder, self._kept)
        pooled, start = [], 0
        lengths = mask.sum(dim=1)
        for count in _groups(lengths.tolist()):
            rows = slice(start, start + count)
            mask_of_group = mask[rows, : max(int(lengths[start]), 1)]
            ids_of_group = ids[rows, : mask_of_group.shape[1]]
            vectors = encode(ids_of_group[mask_of_group], lengths[rows].tolist())
            pooled.append(self.pool(unpacked(vectors, mask_of_group), mask_of_group))
            start += count
        return pooled

    def _padded(self, ids: Tensor, mask: Tensor) -> list[Tensor]:
        ids = ids.masked_fill(~mask, getattr(self.encoder.config, "pad_token_id", None) or 0)
        size = ROWS_AT_A_TIME.get(ids.device.type, ROWS_AT_A_TIME_ELSEWHERE)
        return [self._group(*group) for group in zip(torch.split(ids, size), torch.split(mask, size), strict=True)]

    def _group(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Vectors of texts sorted by falling length."""
        length = max(int(mask[0].sum()), 1)
        ids, mask = ids[:, :length], mask[:, :length]
        attended = mask.clone()
        attended[:, 0] = True
        vectors = self.encoder(input_ids=ids, attention_mask=attended.long()).last_hidden_state
        return cast(Tensor, self.pool(vectors, mask))

    def train(self, mode: bool = True) -> Self:
        """A frozen encoder stays in evaluation mode: its vectors are those of the cache."""
        self._kept.clear()
        return super().train(mode and self.trained)

    def lr_scales(self) -> dict[str, float]:
        """The encoder's factors, by parameter name; the top layer's is ``lr_scale``."""
        return {
            f"encoder.{name}": self.lr_scale * self.layer_lr_decay ** (self.layers - min(depth, self.layers))
            for name, depth in _depths(self.encoder).items()
        }

    def save_assets(self, folder: Path) -> None:
        """Writes the encoder's configuration."""
        save_config(self.encoder, folder)

    def _freeze(self, layers: int | None) -> None:
        depths = _depths(self.encoder)
        for name, parameter in self.encoder.named_parameters():
            parameter.requires_grad = layers is not None and (layers == 0 or depths[name] > layers)
        for parameter in self.pool.parameters():
            parameter.requires_grad = self.trained


def _groups(lengths: list[int]) -> list[int]:
    """How many neighbours to encode together, ``TOKENS_AT_A_TIME`` or a text more; texts without tokens are in the last group."""
    counts, tokens = [0], 0
    for length in lengths:
        if tokens >= TOKENS_AT_A_TIME and length:
            counts.append(0)
            tokens = 0
        counts[-1] += 1
        tokens += length
    return counts


def layer_count(encoder: Any) -> int:
    """Number of transformer layers."""
    return len(_stack(encoder)[1])


def _stack(encoder: Any) -> tuple[str, nn.ModuleList]:
    """Name and modules of the longest list of layers."""
    lists = [(name, module) for name, module in encoder.named_modules() if isinstance(module, nn.ModuleList)]
    return max(lists, key=lambda pair: len(pair[1]), default=("", nn.ModuleList()))


def _depths(encoder: Any) -> dict[str, int]:
    """By parameter name: 0 before the layers, 1 for the lowest layer ..., one more than their number after them."""
    prefix, layers = _stack(encoder)
    depths, after = {}, False
    for name, _ in encoder.named_parameters():
        inside = bool(prefix) and name.startswith(f"{prefix}.")
        after = after or inside
        depths[name] = int(name[len(prefix) + 1 :].split(".")[0]) + 1 if inside else (len(layers) + 1 if after else 0)
    return depths
