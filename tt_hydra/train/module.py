"""The LightningModule: one step, its temperature, its learning rate, its log."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from tt_hydra.contracts import Batch, Loss, LossOutput, Temperature
from tt_hydra.tower.two_tower import TwoTower
from tt_hydra.train.cache import GradientCache, average_gradients
from tt_hydra.train.gather import gather, share_gradient, world_size
from tt_hydra.train.optimizer import OptimizerSpec
from tt_hydra.train.settings import TrainSettings
from tt_hydra.train.targets import targets_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """What is minimised, and how."""

    loss: Loss
    temperature: Temperature
    optimizer: OptimizerSpec


class RetrievalModule(pl.LightningModule):
    """Two towers and a temperature under one loss.

    Args:
        towers: the model.
        objective: loss, temperature and optimizer.
        settings: schedule of the learning rate.
        total_steps: optimizer steps of the whole training; progress is the share of them that is done.
        seed: every step's randomness (dropout) is a function of it and of the step, so a resumed training repeats and skips nothing.
    """

    def __init__(self, towers: TwoTower, objective: Objective, settings: TrainSettings, total_steps: int, seed: int) -> None:
        super().__init__()
        self.towers = towers
        self.temperature: nn.Module = objective.temperature.build()
        self.loss = objective.loss.build()
        self._objective = objective
        for weight in self._loss_weights():
            weight.register_hook(_shared)  # type: ignore[no-untyped-call]
        self._settings = settings
        self._cache = None if settings.micro_batch_size is None else GradientCache(towers, settings.micro_batch_size, self._autocast)
        self._total_steps = total_steps
        self._seed = seed
        self._sums: dict[str, Tensor] = {}
        self._steps = 0
        self.last_loss = torch.tensor(math.nan)

    @property
    def progress(self) -> float:
        """Share of the optimizer steps that is done, in [0, 1]."""
        return min(1.0, self.global_step / max(1, self._total_steps - 1))

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Lightning moves only containers that it knows."""
        return batch.to(device)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seeds the generator of this step's device; ``torch.manual_seed`` takes a millisecond where there is no GPU."""
        seed = hash((self._seed, self.global_step, self.global_rank)) % 2**63
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of the whole batch, over all ranks."""
        queries, items = self._embed(batch)
        temperature = self.temperature(self.progress)
        if world_size() > 1:
            queries, items, batch = gather(queries, items, batch)
            temperature = share_gradient(temperature)
        output = self.loss(queries, items, targets_of(batch), temperature)
        self._record(output, temperature)
        return output.loss * world_size()

    def _embed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        if self._cache is not None:
            return self._cache.embed(batch)
        return self.towers.embed_queries(batch.queries), self.towers.embed_items(batch.items)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """The gradient of a loss; scaled already, where the precision asks for it."""
        super().backward(loss, *args, **kwargs)
        if self._cache is not None:
            self._cache.backward()
            if world_size() > 1:
                average_gradients([parameter for parameter in self.parameters() if parameter.requires_grad])

    def _autocast(self) -> AbstractContextManager[object]:
        return self.trainer.precision_plugin.train_step_context()

    def _record(self, output: LossOutput, temperature: Tensor) -> None:
        values = {
            "loss": output.loss,
            "temperature": temperature,
            "positive_similarity": output.positive_similarity,
            "hardest_negative_similarity": output.hardest_negative_similarity,
            "effective_negatives": output.effective_negatives,
            **output.parts,
        }
        for name, value in values.items():
            self._sums[name] = value.detach() + self._sums.get(name, 0.0)
        self._steps += 1
        self.last_loss = output.loss.detach()
        if self.loggers:
            numbers = torch.stack([value.detach().float() for value in values.values()]).tolist()
            self.write_figures({f"train/{name}": number for name, number in zip(values, numbers, strict=True)}, self.global_step)

    def write_figures(self, figures: Mapping[str, float], step: int) -> None:
        """Hands figures to the loggers: directly, as Lightning's ``log`` takes longer than a step of small towers."""
        for logger in self.loggers:
            logger.log_metrics({"epoch": self.current_epoch, **figures}, step=step)

    def take_epoch_means(self) -> dict[str, float]:
        """Means of what the steps recorded since the last call."""
        means = {name: float(total) / self._steps for name, total in self._sums.items()}
        self._sums, self._steps = {}, 0
        return means

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimizer over the towers, a learned temperature and a loss' weights (never decayed), with warm-up and decay per step."""
        spec = self._objective.optimizer
        groups = self.towers.parameter_groups(spec.lr, spec.weight_decay)
        learned = [parameter for parameter in [*self.temperature.parameters(), *self._loss_weights()] if parameter.requires_grad]
        if learned:
            groups.append({"params": learned, "lr": spec.lr, "weight_decay": 0.0})
        optimizer = spec.build(groups)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, self._learning_rate_share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _loss_weights(self) -> list[nn.Parameter]:
        return list(self.loss.parameters()) if isinstance(self.loss, nn.Module) else []

    def _learning_rate_share(self, step: int) -> float:
        warmup = round(self._settings.warmup * self._total_steps)
        if step < warmup:
            return (step + 1) / (warmup + 1)
        left = 1 - (step - warmup) / max(1, self._total_steps - warmup)
        match self._settings.decay:
            case "none":
                return 1.0
            case "linear":
                return max(0.0, left)
            case "cosine":
                return 0.5 * (1 - math.cos(math.pi * max(0.0, left)))


def _shared(gradient: Tensor) -> Tensor:
    """The part of one rank, where every rank has the whole loss."""
    return gradient / world_size()
