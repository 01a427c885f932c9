"""Low-rank adapters of a text encoder, there only while it is trained: before and after, the encoder is a plain one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from tt_hydra.contracts import Pooling
from tt_hydra.errors import ConfigError
from tt_hydra.tower.transformer import Transformer

PARTS = ("lora_A", "lora_B")


@dataclass(frozen=True, kw_only=True, slots=True)
class Lora:
    """Shape of the adapters: each weight matrix ``W`` becomes ``W + alpha / rank * B A``.

    Source: Hu et al., LoRA: Low-rank adaptation of large language models, 2021 (arXiv:2106.09685).

    Attributes:
        rank: of ``B A``.
        alpha: numerator of the factor.
        dropout: share of the adapters' inputs that are dropped in training.
        lr_scale: factor on the learning rate.
    """

    rank: int
    alpha: float
    dropout: float
    lr_scale: float


class LoraTransformer(Transformer):
    """A pretrained encoder whose own weights stay: adapters of its linear layers are trained instead, then added to them.

    Args:
        encoder: a model of ``transformers``.
        pooling: joins token vectors.
        frozen_layers: how many of the lowest layers get no adapters.
        lora: the adapters.
        layer_lr_decay: further factor on the learning rate for each layer below the top one.
    """

    def __init__(self, encoder: Any, pooling: Pooling, frozen_layers: int, lora: Lora, layer_lr_decay: float) -> None:
        super().__init__(encoder, pooling, frozen_layers, lora.lr_scale, layer_lr_decay)
        self._lora = lora
        self._targets = [name for name, module in encoder.named_modules() if isinstance(module, nn.Linear) and module.weight.requires_grad]
        for parameter in encoder.parameters():
            parameter.requires_grad = False

    def begin_training(self) -> None:
        """Puts adapters, which change nothing yet, beside the linear layers.

        Raises:
            ConfigError: the package peft is not installed.
        """
        if not self._targets or _adapted(self.encoder):
            return
        peft = _peft()
        shape = {"r": self._lora.rank, "lora_alpha": self._lora.alpha, "lora_dropout": self._lora.dropout, "bias": "none"}
        peft.inject_adapter_in_model(peft.LoraConfig(target_modules=self._targets, **shape), self.encoder)
        for name, parameter in self.encoder.named_parameters():
            parameter.requires_grad = any(f".{part}." in name for part in PARTS)
        self.train(self.training)

    def end_training(self) -> None:
        """Adds the adapters to the weights and removes them."""
        for name, module in _adapted(self.encoder).items():
            module.merge()
            parent, _, own = name.rpartition(".")
            setattr(self.encoder.get_submodule(parent), own, module.get_base_layer())
        for name in ("peft_config", "_hf_peft_config_loaded"):
            self.encoder.__dict__.pop(name, None)
        for parameter in self.encoder.parameters():
            parameter.requires_grad = False


@contextmanager
def training(towers: nn.Module, seed: int) -> Iterator[None]:
    """Gives every text encoder what only its training needs, and takes it away at the end, however that comes.

    Args:
        towers: a model with text encoders.
        seed: of what the encoders draw at random.
    """
    encoders = [module for module in towers.modules() if isinstance(module, LoraTransformer)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for encoder in encoders:
            encoder.begin_training()
    try:
        yield
    finally:
        for encoder in encoders:
            encoder.end_training()


def plain_state(towers: nn.Module) -> dict[str, Tensor]:
    """``state_dict`` as it is once adapters are added to the weights; the towers stay as they are."""
    state: dict[str, Tensor] = towers.state_dict()
    for name, module in _adapted(towers).items():
        own = {key: state.pop(key) for key in list(state) if key.startswith(f"{name}.")}
        weight, bias = own[f"{name}.base_layer.weight"], own.get(f"{name}.base_layer.bias")
        with torch.no_grad():
            state[f"{name}.weight"] = weight + module.get_delta_weight("default").to(weight)
        if bias is not None:
            state[f"{name}.bias"] = bias
    return state


def _adapted(model: nn.Module) -> dict[str, Any]:
    """The linear layers that have adapters, by name."""
    return {name: module for name, module in model.named_modules() if hasattr(module, "lora_A")}


def _peft() -> Any:
    try:
        return import_module("peft")
    except ImportError as error:
        raise ConfigError("tower.lora_rank needs the package peft, which is not installed; pip install 'tt-hydra[lora]'") from error
