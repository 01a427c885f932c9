"""The training batches of an epoch, a function of (seed, epoch, rank): a resumed training sees what an undisturbed one would have seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytorch_lightning as pl

from tt_hydra.contracts import Batch, DrawRequest, FittedSampler, IntArray
from tt_hydra.data import batches
from tt_hydra.data.dataset import Dataset


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
        train, effective = self.dataset.train, len(index) * self.world_size
        given = None if train.negatives is None else train.negatives.take(index)
        request = DrawRequest(examples=index, positives=train.item_rows[index], given=given)
        drawn = self.sampler.draw(request, np.random.default_rng((self.seed, self.epoch, step)))
        log_presence = partial(self.sampler.log_presence, batch=effective)
        return batches.assemble(self.dataset, index, drawn, self.sampler.in_batch, log_presence)


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
