"""After each epoch: validate, remember the best towers, decide whether to go on, write a checkpoint to resume all of this from."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from safetensors.torch import save_file

from tt_hydra.contracts import Watch
from tt_hydra.errors import ConfigError
from tt_hydra.tower.lora import plain_state
from tt_hydra.tower.two_tower import TwoTower
from tt_hydra.train.module import RetrievalModule

logger = logging.getLogger(__name__)

Validate = Callable[[TwoTower], dict[str, float]]
CurvePoint = dict[str, float]
WHEN = ("epoch", "step", "seconds")


class AtomicCheckpointIO(TorchCheckpointIO):
    """A checkpoint file is the old one or the new one, never half of one, whenever the process dies."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None) -> None:
        """Writes beside the file, then renames."""
        final = Path(path)
        unfinished = final.with_suffix(".tmp")
        with unfinished.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(final)


class Selection(pl.Callback):
    """Chooses the checkpoint by a validation figure over the whole catalogue, stops when it no longer rises, records the curves.

    Args:
        folder: where checkpoints go; ``last.ckpt`` resumes the training.
        validate: gives the validation figures of the towers; None where there are no validation queries, then the last epoch is kept.
        monitor: which of these figures chooses.
        patience: epochs without a rise after which training stops; None for no stop.
        watch: told each figure that chooses; may end the training. The same on every rank, asked on the first alone.
    """

    def __init__(self, folder: Path, validate: Validate | None, monitor: str, patience: int | None, watch: Watch | None = None) -> None:
        self.folder = folder
        self._validate = validate
        self._monitor = monitor
        self._patience = patience
        self._watch = watch
        self.pruned = False
        self._started = time.perf_counter()
        self.curves: list[CurvePoint] = []
        self.best_value = -math.inf
        self.best_epoch = -1

    @property
    def stopped(self) -> bool:
        """Whether patience has run out."""
        waited = len(self.curves) - 1 - self.best_epoch
        return self._validate is not None and self._patience is not None and waited >= self._patience

    @property
    def best_path(self) -> Path:
        """Weights of the best epoch."""
        return self._weights_of(self.best_epoch)

    def resumes(self, checkpoint: Mapping[str, Any]) -> bool:
        """Takes up what a checkpoint remembers; False where the weights that it calls the best are gone."""
        state = checkpoint["callbacks"][self.state_key]
        if not self._weights_of(state["best_epoch"]).exists():
            return False
        self.load_state_dict(state)
        return True

    def _weights_of(self, epoch: int) -> Path:
        return self.folder / f"best-{epoch}.safetensors"

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training must know."""
        return {"curves": self.curves, "best_value": self.best_value, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up where the checkpoint left off."""
        self.curves, self.best_value, self.best_epoch = state_dict["curves"], state_dict["best_value"], state_dict["best_epoch"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tells the loggers of the epochs before a resumption, each as one point."""
        assert isinstance(pl_module, RetrievalModule)
        for point in self.curves:
            figures = {name if "/" in name else f"train/{name}": value for name, value in point.items() if name not in WHEN}
            pl_module.write_figures({**figures, "epoch": point["epoch"]}, int(point["step"]) - 1)
            self._ask(trainer, point)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the epoch's clock."""
        self._started = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Validates, selects, saves."""
        assert isinstance(pl_module, RetrievalModule)
        seconds = time.perf_counter() - self._started
        means = pl_module.take_epoch_means()
        _require_finite(means["loss"], pl_module, trainer.current_epoch)
        figures = {} if self._validate is None else trainer.strategy.broadcast(self._validate(pl_module.towers))
        point = {"epoch": float(trainer.current_epoch), "step": float(trainer.global_step), "seconds": seconds}
        self.curves.append({**point, **means, **figures})
        if figures:
            pl_module.write_figures(figures, trainer.global_step - 1)
        self._select(trainer, pl_module.towers, figures)
        trainer.save_checkpoint(self.folder / "last.ckpt")
        self._forget_worse(trainer)
        trainer.should_stop = trainer.should_stop or self.stopped
        logger.info(_line(self.curves[-1], self._monitor))
        if self._watch is not None and trainer.strategy.broadcast(self._ask(trainer, self.curves[-1])) and not self._over(trainer):
            self.pruned = trainer.should_stop = True

    def _over(self, trainer: pl.Trainer) -> bool:
        """Whether the training ends with this epoch anyway: to prune it then would save nothing."""
        return trainer.should_stop or trainer.current_epoch + 1 == trainer.max_epochs

    def _ask(self, trainer: pl.Trainer, point: CurvePoint) -> bool:
        """Tells whoever watches; whether the training shall end."""
        if self._watch is None or self._monitor not in point or not trainer.is_global_zero:
            return False
        return self._watch(int(point["epoch"]) + 1, point[self._monitor])

    def _select(self, trainer: pl.Trainer, towers: TwoTower, figures: dict[str, float]) -> None:
        value = figures.get(self._monitor, float(trainer.current_epoch))
        if value <= self.best_value:
            return
        self.best_value, self.best_epoch = value, trainer.current_epoch
        if trainer.is_global_zero:
            save_weights(towers, self.best_path)

    def _forget_worse(self, trainer: pl.Trainer) -> None:
        if trainer.is_global_zero:
            for path in self.folder.glob("best-*.safetensors"):
                if path != self.best_path:
                    path.unlink()


def save_weights(towers: TwoTower, path: Path) -> None:
    """Writes the towers' weights, adapters added to them, atomically; what both towers share is written once for each name."""
    unfinished = path.with_suffix(".tmp")
    save_file({name: tensor.detach().cpu().clone().contiguous() for name, tensor in plain_state(towers).items()}, unfinished)
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())
    unfinished.replace(path)


def _require_finite(loss: float, module: RetrievalModule, epoch: int) -> None:
    fix = "lower optimizer.lr, raise temperature.start, or set train.gradient_clip or train.precision=32"
    if not math.isfinite(loss):
        raise ConfigError(f"the training diverged: the mean loss of epoch {epoch} is {loss}; {fix}")
    wrong = [name for name, weight in module.named_parameters() if weight.numel() and not torch.stack(weight.aminmax()).isfinite().all()]
    if wrong:
        what = f"{len(wrong)} weight(s) hold NaN or infinity after epoch {epoch}, first {wrong[0]}"
        raise ConfigError(f"the training diverged: {what}; {fix}")


def _line(point: CurvePoint, monitor: str) -> str:
    shown = [f"loss {point['loss']:.4f}", f"temperature {point['temperature']:.4f}"] if "loss" in point else []
    shown += [f"{monitor} {point[monitor]:.4f}"] if monitor in point else []
    parts = [f"{name.partition('/')[2]} {share:.0%}" for name, share in point.items() if name.startswith("time/")]
    spent = f"{point['seconds']:.1f} s" + (f": {', '.join(parts)}" if parts else "")
    return f"epoch {point['epoch']:.0f}: {', '.join(shown)} ({spent})"
