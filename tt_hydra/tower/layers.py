"""Smaller encoders made of large ones."""

from __future__ import annotations

from typing import Any

from torch import nn

from tt_hydra.errors import ConfigError
from tt_hydra.tower.transformer import layer_count


def keep_lowest(encoder: Any, layers: int) -> Any:
    """The encoder with its ``layers`` lowest layers alone, in its configuration too; changed in place.

    Raises:
        ConfigError: it has fewer.
    """
    found = layer_count(encoder)
    if layers > found:
        raise ConfigError(f"tower.layers is {layers}, but the encoder has {found} layers; lower it, or set null to keep them all")
    stack = next(module for module in encoder.modules() if isinstance(module, nn.ModuleList) and len(module) == found)
    del stack[layers:]
    if getattr(encoder.config, "layer_types", None):
        encoder.config.layer_types = encoder.config.layer_types[:layers]
    encoder.config.num_hidden_layers = layers
    return encoder
