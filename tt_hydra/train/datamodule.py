"""The training batches of an epoch, a function of (seed, epoch, rank): a resumed training sees what an undisturbed one would have seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytorch_lightning as pl

from tt_hydra.contracts import Batch, FittedSampler, FloatArray, IntArray
from tt_hydra.data import batches
from tt_hydra.data.dataset import Dataset
from tt_hydra.negatives.frequency import log_presence


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochBatches:
    """The batches of one epoch on one rank, assembled when they are asked for."""

    dataset: Dataset
    sampler: FittedSampler
    batch_size: int
    seed: int
    epoch: int
    rank: int = 0
    world_size: int = 1

    def __len__(self) -> int:
        return num_batches(len(self.dataset.train), self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        index_lists = batches.epoch(len(self.dataset.train), self.batch_size, self.world_size, self.rank, self.seed, self.epoch)
        for step, index in enumerate(index_lists):
            yield self._assemble(step, index)

    def _assemble(self, step: int, index: IntArray) -> Batch:
        train = self.dataset.train
        given = None if train.negatives is None else train.negatives.take(index)
        generator = np.random.default_rng((self.seed, self.epoch, step))
        drawn = self.sampler.draw(train.item_rows[index], given, generator)
        return batches.assemble(self.dataset, index, drawn, self.sampler.in_batch, self._log_q(len(index) * self.world_size))

    def _log_q(self, batch_size: int) -> Callable[[IntArray], FloatArray]:
        """Log probability of being a candidate; an in-batch item is held once, however often the whole batch drew it."""
        if not self.sampler.in_batch:
            return self.sampler.log_q
        return lambda rows: log_presence(self.sampler.log_q(rows), batch_size)


def num_batches(examples: int, batch_size: int) -> int:
    """Batches of an epoch."""
    return -(-examples // batch_size)


class BatchModule(pl.LightningDataModule):
    """Gives Lightning a new epoch's batches each epoch."""

    def __init__(self, dataset: Dataset, sampler: FittedSampler, batch_size: int, seed: int) -> None:
        super().__init__()
        self._dataset, self._sampler, self._batch_size, self._seed = dataset, sampler, batch_size, seed

    def train_dataloader(self) -> EpochBatches:
        """The current epoch's batches of this rank."""
        trainer = self.trainer
        assert trainer is not None
        return EpochBatches(
            dataset=self._dataset,
            sampler=self._sampler,
            batch_size=self._batch_size,
            seed=self._seed,
            epoch=trainer.current_epoch,
            rank=trainer.global_rank,
            world_size=trainer.world_size,
        )
