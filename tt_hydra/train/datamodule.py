"""The training batches of an epoch, a function of (seed, epoch, rank): a resumed training sees what an undisturbed one would have seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pytorch_lightning as pl
import torch

from tt_hydra.contracts import Batch, Drawn, DrawRequest, FittedSampler, FloatArray, Hardness, IntArray, Ragged
from tt_hydra.data import batches
from tt_hydra.data.dataset import Dataset
from tt_hydra.negatives.streaming import Observer
from tt_hydra.train.guide import GuideVectors
from tt_hydra.train.teaching import Teaching

Order = Callable[[Callable[[], Batch]], Callable[[], Batch]]
"""Takes work on; what it returns waits for the result."""


def same_hardness(step: int) -> Hardness:
    """Every step's hardness where there is no curriculum."""
    return Hardness()


@dataclass(slots=True)
class Passed:
    """How many epochs of a training have begun in this process."""

    epochs: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochBatches:
    """The batches of one epoch on one rank.

    The negatives of a batch are drawn when the batch before it is handed out: with what sampler and curriculum know then, whether the
    rest of the work is done at once, beside the step (``prefetch``), or when the batch is asked for.

    Attributes:
        dataset: texts tokenised.
        sampler: draws the negatives.
        batch_size: queries of a step, over all ranks.
        seed: of the order and of the negatives.
        epoch: number of the epoch.
        rank: this process.
        world_size: number of processes.
        hardness: of the negatives, by the number of the step in the whole training.
        guide: vectors of another model that go along, or None.
        teaching: gives a teacher's scores that the data does not have, or None.
        passed: the epochs that the sampler was told of.
        prefetch: whether a thread makes the next batch while a step runs.
        taken: training pairs of an epoch, drawn for each; None for all of them.
    """

    dataset: Dataset
    sampler: FittedSampler
    batch_size: int
    seed: int
    epoch: int = 0
    rank: int = 0
    world_size: int = 1
    hardness: Callable[[int], Hardness] = same_hardness
    guide: GuideVectors | None = None
    teaching: Teaching | None = None
    passed: Passed = field(default_factory=Passed)
    prefetch: bool = False
    taken: int | None = None

    def __len__(self) -> int:
        return num_batches(self.examples, self.batch_size)

    @property
    def examples(self) -> int:
        """Training pairs of an epoch."""
        return epoch_examples(len(self.dataset.train), self.taken)

    def __iter__(self) -> Iterator[Batch]:
        parts, whole = self._parts(self.world_size, self.rank, self.epoch), self._parts(1, 0, self.epoch)
        self._observe_earlier_epochs()
        with _in_a_thread() if self.prefetch else _when_asked() as order:
            following = order(self._drawn(0, parts[0], whole[0])) if parts else None
            for step in range(len(parts)):
                assert following is not None
                batch = following()
                if step + 1 < len(parts):
                    following = order(self._drawn(step + 1, parts[step + 1], whole[step + 1]))
                yield batch

    def _parts(self, world_size: int, rank: int, epoch: int) -> list[IntArray]:
        return batches.epoch(len(self.dataset.train), self.batch_size, world_size, rank, self.seed, epoch, self.taken)

    def _drawn(self, step: int, index: IntArray, whole: IntArray) -> Callable[[], Batch]:
        """Draws the negatives of a step; the rest of its batch is left to be made."""
        train, number = self.dataset.train, self.epoch * len(self) + step
        request = DrawRequest(
            examples=whole,
            positives=train.item_rows[whole],
            given=None if train.negatives is None else train.negatives.take(whole),
            given_teacher=self._given_teacher(whole),
            hardness=self.hardness(number),
            step=number,
        )
        drawn = self.sampler.draw(request, np.random.default_rng((self.seed, self.epoch, step)))
        first = sum(map(len, np.array_split(whole, self.world_size)[: self.rank]))
        return partial(self._assemble, step, index, whole, drawn.part(first, first + len(index)))

    def _given_teacher(self, index: IntArray) -> FloatArray | None:
        train = self.dataset.train
        if train.negatives is None or train.negatives_teacher is None:
            return None
        return Ragged(train.negatives_teacher, train.negatives.offsets).take(index).values.astype(np.float32)

    def _assemble(self, step: int, index: IntArray, whole: IntArray, drawn: Drawn) -> Batch:
        number = self.epoch * len(self) + step
        if isinstance(self.sampler, Observer):
            self.sampler.observe(self.dataset.train.item_rows[whole], number + 1)
        positives = len(whole) + min(self.sampler.memory, self._earlier_positives(step))
        log_presence = partial(self.sampler.log_presence, batch=positives)
        drawn = drawn if self.teaching is None else self.teaching.of_drawn(drawn, index)
        batch = batches.assemble(self.dataset, index, drawn, self.sampler.in_batch, log_presence, whole)
        if self.teaching is not None:
            batch = replace(batch, teacher=torch.from_numpy(self.teaching.of_examples(index)))
        return batch if self.guide is None else replace(batch, guide=self.guide.of(index, batch.item_rows.numpy()))

    def _earlier_positives(self, step: int) -> int:
        """Positives of all steps of the training before this one, over all ranks; the first batches of an epoch have one more each."""
        size, larger = divmod(self.examples, len(self))
        return self.epoch * self.examples + step * size + min(step, larger)

    def _observe_earlier_epochs(self) -> None:
        """Tells the sampler what it missed where a training is resumed."""
        if not isinstance(self.sampler, Observer):
            return
        for epoch in range(self.passed.epochs, self.epoch):
            for step, index in enumerate(self._parts(1, 0, epoch), epoch * len(self) + 1):
                self.sampler.observe(self.dataset.train.item_rows[index], step)
        self.passed.epochs = self.epoch + 1


@contextmanager
def _in_a_thread() -> Iterator[Order]:
    """Work is begun when it is ordered; an error comes out where the result is asked for."""
    with ThreadPoolExecutor(1, "next-batch") as pool:
        try:
            yield lambda work: pool.submit(work).result
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _when_asked() -> Iterator[Order]:
    """Work is done when its result is asked for."""
    yield lambda work: work


def epoch_examples(pairs: int, taken: int | None) -> int:
    """Examples of an epoch over ``pairs`` of which it takes ``taken``, or all."""
    return pairs if taken is None else min(pairs, taken)


def num_batches(examples: int, batch_size: int) -> int:
    """Batches of an epoch."""
    return -(-examples // batch_size)


class BatchModule(pl.LightningDataModule):
    """Gives Lightning a new epoch's batches each epoch; ``template`` holds what is the same in each."""

    def __init__(self, template: EpochBatches) -> None:
        super().__init__()
        self._template = template

    def train_dataloader(self) -> EpochBatches:
        """The current epoch's batches of this rank."""
        trainer = self.trainer
        assert trainer is not None
        return replace(self._template, epoch=trainer.current_epoch, rank=trainer.global_rank, world_size=trainer.world_size)
