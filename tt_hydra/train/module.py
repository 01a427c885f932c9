"""The LightningModule: one step, its temperature, its learning rate, its log."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from tt_hydra.contracts import Batch, Curriculum, Hardness, Loss, LossOutput, Screen, ScreenSpec, Temperature
from tt_hydra.tower.two_tower import TwoTower
from tt_hydra.train.cache import GradientCache, average_gradients
from tt_hydra.train.clock import StepClock
from tt_hydra.train.figures import Means
from tt_hydra.train.gather import gather, share_gradient, world_size
from tt_hydra.train.optimizer import OptimizerSpec
from tt_hydra.train.queue import VectorQueue
from tt_hydra.train.rows import choose_tables, clip_gradients, settle_rows
from tt_hydra.train.settings import TrainSettings
from tt_hydra.train.targets import targets_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """What is minimised, and how."""

    loss: Loss
    temperature: Temperature
    optimizer: OptimizerSpec
    screen: ScreenSpec | None = None
    curriculum: Curriculum | None = None


class RetrievalModule(pl.LightningModule):
    """Two towers and a temperature under one loss.

    Args:
        towers: the model.
        objective: loss, temperature, optimizer, false-negative filter and curriculum.
        settings: schedule of the learning rate.
        total_steps: optimizer steps of the whole training; progress is the share of them that is done.
        seed: every step's randomness (dropout) is a function of it and of the step, so a resumed training repeats and skips nothing.
        queue: of item vectors that serve as further negatives, or None.

    Attributes:
        clock: where the steps' time goes.
        tables: weights whose gradients are sparse.
    """

    def __init__(
        self,
        towers: TwoTower,
        objective: Objective,
        settings: TrainSettings,
        total_steps: int,
        seed: int,
        queue: VectorQueue | None = None,
    ) -> None:
        super().__init__()
        self.towers, self.queue = towers, queue
        self.temperature: nn.Module = objective.temperature.build()
        self.loss = objective.loss.build()
        self.curriculum = None if objective.curriculum is None else objective.curriculum.build()
        self._objective, self._settings = objective, settings
        self.tables = choose_tables(towers, objective.optimizer)
        for weight in self._loss_weights():
            weight.register_hook(_shared)  # type: ignore[no-untyped-call]
        self._cache = None if settings.micro_batch_size is None else GradientCache(towers, settings.micro_batch_size, self._autocast)
        self._total_steps, self._seed = total_steps, seed
        self._ordered: dict[int, Hardness] = {}
        self._means = Means()
        self.clock = StepClock()
        self.last_loss = torch.tensor(math.nan)

    @property
    def progress(self) -> float:
        """Share of the optimizer steps that is done, in [0, 1]."""
        return self._progress_at(self.global_step)

    def _progress_at(self, step: int) -> float:
        return min(1.0, step / max(1, self._total_steps - 1))

    def hardness(self, step: int) -> Hardness:
        """How hard the negatives of a step shall be, as the curriculum sees it now: asked when the step's batch is ordered."""
        hardness = Hardness() if self.curriculum is None else self.curriculum(self._progress_at(step))
        self._ordered[step] = hardness
        return hardness

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Lightning moves only containers that it knows."""
        return batch.to(device)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seeds the generator of this step's device; ``torch.manual_seed`` takes a millisecond where there is no GPU."""
        self.clock.passed("data")
        seed = hash((self._seed, self.global_step, self.global_rank)) % 2**63
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def on_train_epoch_start(self) -> None:
        """Starts the clock."""
        self.clock.start(self.device)

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """The step is done."""
        self.clock.passed("optimizer")

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of the whole batch, over all ranks."""
        hardness = self._ordered.pop(self.global_step, None) or self.hardness(self.global_step)
        queries, items = self._embed(batch)
        self.clock.passed("forward")
        temperature = (self.temperature(self.progress) * hardness.temperature).to(queries.device)
        if world_size() > 1:
            queries, items, batch = gather(queries, items, batch)
            temperature = share_gradient(temperature)
        candidates, extended = (items, batch) if self.queue is None else self.queue.extend(items, batch)
        output = self.loss(queries, candidates, targets_of(extended, self._screen(queries, candidates, extended)), temperature)
        if self.queue is not None:
            self.queue.push(items, batch)
        self._observe(output)
        self._record(output, temperature, hardness)
        self.clock.passed("loss")
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
        if world_size() > 1 and self.reduces_itself:
            by_rows = {id(table) for table in self.tables}
            average_gradients([weight for weight in self.parameters() if weight.requires_grad and id(weight) not in by_rows])
        settle_rows(self.tables)
        self.clock.passed("backward")

    @property
    def reduces_itself(self) -> bool:
        """Whether gradients are averaged over the ranks here, after several backward passes or because some are sparse."""
        return self._cache is not None or bool(self.tables)

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """By the norm of all gradients; Lightning's way takes no sparse ones, and no fused optimizer in bf16, where nothing is scaled.

        Where gradients are scaled it is taken: it refuses an optimizer that undoes that itself, after they were clipped.
        """
        scaled = getattr(self.trainer.precision_plugin, "scaler", None) is not None
        if scaled and not self.tables:
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_val is not None:
            clip_gradients((weight for group in optimizer.param_groups for weight in group["params"]), gradient_clip_val)

    def _autocast(self) -> AbstractContextManager[object]:
        return self.trainer.precision_plugin.train_step_context()

    def _screen(self, queries: Tensor, items: Tensor, batch: Batch) -> Screen | None:
        spec = self._objective.screen
        return None if spec is None else spec.build(queries, items, batch.guide, batch.positive)

    def _observe(self, output: LossOutput) -> None:
        """Tells a curriculum that asks how many negatives pushed; it waits for the device to know."""
        if self.curriculum is not None and self._objective.curriculum is not None and self._objective.curriculum.observes:
            self.curriculum.observe(float(output.effective_negatives), self.progress)

    def _record(self, output: LossOutput, temperature: Tensor, hardness: Hardness) -> None:
        values = {
            "loss": output.loss,
            "temperature": temperature,
            "positive_similarity": output.positive_similarity,
            "hardest_negative_similarity": output.hardest_negative_similarity,
            "effective_negatives": output.effective_negatives,
            **output.parts,
            **_told(hardness, output.loss),
        }
        self._means.add(values)
        self.last_loss = output.loss.detach()
        if self.loggers:
            numbers = torch.stack([value.detach().float() for value in values.values()]).tolist()
            self.write_figures({f"train/{name}": number for name, number in zip(values, numbers, strict=True)}, self.global_step)

    def write_figures(self, figures: Mapping[str, float], step: int) -> None:
        """Hands figures to the loggers: directly, as Lightning's ``log`` takes longer than a step of small towers."""
        for logger in self.loggers:
            logger.log_metrics({"epoch": self.current_epoch, **figures}, step=step)

    def take_epoch_means(self) -> dict[str, float]:
        """Means of what the steps recorded since the last call, and each part's share of their time."""
        return {**self._means.take(), **self.clock.take_shares()}

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


class OwnReduction(DDPStrategy):
    """DDP for a module that averages its gradients over the ranks itself."""

    def configure_ddp(self) -> None:
        """Wraps the module as ever, and leaves gradients where they are."""
        super().configure_ddp()
        assert isinstance(self.model, DistributedDataParallel)
        self.model.require_backward_grad_sync = False


def _shared(gradient: Tensor) -> Tensor:
    """The part of one rank, where every rank has the whole loss."""
    return gradient / world_size()


def _told(hardness: Hardness, like: Tensor) -> dict[str, Tensor]:
    """What a curriculum asks for, as far as it asks for anything."""
    first, last = hardness.window or (None, None)
    of_drawn = replace(hardness, temperature=1.0, effective_negatives=None)
    share = None if of_drawn == Hardness() else hardness.share
    asked = {
        "negatives_share": share,
        "negatives_window_first": first,
        "negatives_window_last": last,
        "negatives_margin": hardness.margin,
        "effective_negatives_declared": hardness.effective_negatives,
    }
    return {name: like.new_tensor(float(value)) for name, value in asked.items() if value is not None}
