"""What a training run can be told: the ``train`` node as a plain dataclass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tt_hydra.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSettings:
    """How long, how large and where to train.

    Attributes:
        max_epochs: passes over the training pairs; 0 keeps the untrained towers.
        epoch_pairs: training pairs of an epoch, drawn at random for each; null for all. Fewer are validated more often.
        batch_size: effective batch: queries per optimizer step, over all devices together.
        micro_batch_size: rows of one side that a device embeds at once; null for all. A smaller one needs less memory and embeds everything
            twice; gradients are the same, and so is the number of negatives.
        memory_gb: gigabytes that a step may take on a device, besides weights and optimizer; picks micro_batch_size and the tiles of the
            loss. Null for no limit.
        prefetch: whether a thread makes the next batch while a step runs.
        devices: number of processes (CPU) or GPUs of a machine.
        num_nodes: number of machines, which torchrun starts; null for as many as it has started.
        accelerator: ``auto`` takes a GPU where there is one.
        strategy: ``ddp`` for several devices; ``auto`` chooses.
        precision: ``auto`` probes the machine; losses are computed in float32 whatever it is.
        gradient_clip: largest gradient norm; null for no clipping.
        warmup: share of the steps in which the learning rate rises from 0.
        decay: how the learning rate falls after the warm-up.
        patience: epochs without a better validation recall after which training stops; null trains to the end.
        monitor: validation metric, over the whole catalogue, that chooses the checkpoint.
        init_from: a bundle (folder) whose weights training starts from; null starts afresh.
        align_epochs: passes over all texts in which the query tower first learns the item tower's vectors, so that asymmetric towers
            start in one space; 0 for none.
    """

    max_epochs: int = 25
    epoch_pairs: int | None = None
    batch_size: int = 1024
    micro_batch_size: int | None = None
    memory_gb: float | None = None
    prefetch: bool = False
    devices: int = 1
    num_nodes: int | None = None
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    strategy: Literal["auto", "ddp"] = "auto"
    precision: Literal["auto", "32", "bf16", "16"] = "auto"
    gradient_clip: float | None = 1.0
    warmup: float = 0.05
    decay: Literal["none", "linear", "cosine"] = "linear"
    patience: int | None = 5
    monitor: Literal["recall@10", "ndcg@10"] = "recall@10"
    init_from: str | None = None
    align_epochs: int = 0

    def __post_init__(self) -> None:
        counts = ("batch_size", "epoch_pairs", "micro_batch_size", "devices", "num_nodes", "patience")
        check_at_least("train", self, max_epochs=0, align_epochs=0, **dict.fromkeys(counts, 1))
        if self.memory_gb is not None and self.memory_gb <= 0:
            raise ConfigError(f"train.memory_gb must be above 0, or null for no limit, got {self.memory_gb}")
        if self.memory_gb is not None and self.micro_batch_size is not None:
            raise ConfigError("train.memory_gb picks train.micro_batch_size: set one of them")
        if self.batch_size % self.world_size:
            ranks = f"train.devices={self.devices}" + (f" on each of {self.num_nodes} nodes" if self.world_size > self.devices else "")
            raise ConfigError(f"train.batch_size={self.batch_size} is shared by {ranks} and must divide by {self.world_size}")
        if not 0 <= self.warmup <= 1:
            raise ConfigError(f"train.warmup is a share of the steps between 0 and 1, got {self.warmup}")
        if self.gradient_clip is not None and self.gradient_clip <= 0:
            raise ConfigError(f"train.gradient_clip must be above 0, or null for none, got {self.gradient_clip}")

    @property
    def world_size(self) -> int:
        """Number of training processes, on all machines together."""
        return self.devices * (self.num_nodes or 1)


def check_at_least(node: str, settings: object, **lowest: int) -> None:
    """Raises ConfigError where a key of a node, unless it is null, is less than it can be."""
    for name, low in lowest.items():
        value = getattr(settings, name)
        if value is not None and value < low:
            raise ConfigError(f"{node}.{name} must be at least {low}, got {value}")
