"""What happens around a training's steps, besides the choice of the checkpoint: text caches, the display, signals."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tt_hydra.tower.two_tower import TwoTower
from tt_hydra.train.module import RetrievalModule

SHOWN_EVERY_SECONDS = 0.5


class ItemTexts(pl.Callback):
    """Keeps the items' text vectors, which histories read, in step with the weights: fresh from each epoch's end on.

    Args:
        refresh: makes them where they are missing or stale.
    """

    def __init__(self, refresh: Callable[[TwoTower], None]) -> None:
        self._refresh = refresh

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Makes those of the first epoch, or of the first after a resumption: loading weights forgets them."""
        assert isinstance(pl_module, RetrievalModule)
        if pl_module.towers.item_text is None:
            self._refresh(pl_module.towers)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Makes those of the validation and of the next epoch."""
        assert isinstance(pl_module, RetrievalModule)
        self._refresh(pl_module.towers)


class OwnSignals(pl.Callback):
    """Leaves SIGTERM to whoever answers it outside of the training.

    Lightning's own answer talks to the other ranks from inside the signal handler, where it may wait for them for ever.
    """

    def __init__(self) -> None:
        self._before = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Puts back the handler that Lightning replaced."""
        if threading.current_thread() is threading.main_thread() and self._before is not None:
            signal.signal(signal.SIGTERM, self._before)


class EpochBar(pl.Callback):
    """A bar of the current epoch's batches in the last line of a terminal; log lines go above it, and nothing of it remains.

    Rank 0 alone draws, and only on a terminal.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._progress: Progress | None = None
        self._handlers: list[tuple[logging.StreamHandler[Any], Any]] = []
        self._shown, self._loss = 0.0, ""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the bar anew."""
        if not (trainer.is_global_zero and self._console.is_terminal):
            return
        if self._progress is None:
            self._open()
        assert self._progress is not None
        for task in self._progress.task_ids:
            self._progress.remove_task(task)
        description = f"epoch {trainer.current_epoch} of {trainer.max_epochs}"
        self._progress.add_task(description, total=float(trainer.num_training_batches), loss=self._loss)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        """One batch further."""
        if self._progress is None or not isinstance(pl_module, RetrievalModule):
            return
        (task,) = self._progress.task_ids
        self._progress.advance(task)
        if time.monotonic() - self._shown > SHOWN_EVERY_SECONDS:  # reading the loss waits for the device
            self._shown = time.monotonic()
            self._loss = f"loss {float(pl_module.last_loss):.3f}"
            self._progress.update(task, loss=self._loss)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes the bar away."""
        self._close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Takes the bar away."""
        self._close()

    def _open(self) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[loss]}"),
        )
        self._progress = Progress(*columns, console=self._console, transient=True, refresh_per_second=4)
        self._progress.start()
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is sys.__stderr__:
                self._handlers.append((handler, handler.setStream(sys.stderr)))

    def _close(self) -> None:
        while self._handlers:
            handler, stream = self._handlers.pop()
            handler.setStream(stream)
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
