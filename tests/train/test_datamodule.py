from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tt_hydra.contracts import Batch
from tt_hydra.errors import ConfigError
from tt_hydra.negatives.in_batch import InBatch
from tt_hydra.negatives.queue import Queue
from tt_hydra.negatives.uniform import Uniform
from tt_hydra.train import datamodule
from tt_hydra.train.datamodule import BatchModule, EpochBatches, num_batches
from tt_hydra.train.fit import TrainingJob
from tt_hydra.train.guide import GuideVectors, guide_vectors


def batches(job: TrainingJob, epoch: int, rank: int = 0, ranks: int = 1) -> list[Batch]:
    module = BatchModule(EpochBatches(dataset=job.dataset, sampler=job.sampler, batch_size=job.settings.batch_size, seed=job.seed))
    trainer: Any = SimpleNamespace(current_epoch=epoch, global_rank=rank, world_size=ranks)
    module.trainer = trainer
    loader = module.train_dataloader()
    found = list(loader)
    assert len(found) == len(loader)
    return found


def test_an_epoch_holds_every_pair_once_in_an_order_of_its_own(make_job: Callable[..., TrainingJob]) -> None:
    job = make_job(batch_size=100)
    train = job.dataset.train
    first, second = (torch.cat([batch.item_rows[batch.positive] for batch in batches(job, epoch)]) for epoch in (0, 1))
    expected = torch.from_numpy(train.item_rows).sort().values
    assert first.sort().values.equal(expected)
    assert second.sort().values.equal(expected)
    assert not first.equal(second)


def test_an_epoch_is_a_function_of_seed_and_number(make_job: Callable[..., TrainingJob]) -> None:
    first, again = (batches(make_job(negatives=Uniform(num_negatives=20)), 3) for _ in range(2))
    assert all(one.item_rows.equal(other.item_rows) for one, other in zip(first, again, strict=True))
    drawn = [set(batch.item_rows[batch.origin > 0].tolist()) for batch in first]
    assert drawn[0] != drawn[1], "negatives are drawn anew for each batch"
    later = [set(batch.item_rows[batch.origin > 0].tolist()) for batch in batches(make_job(negatives=Uniform(num_negatives=20)), 4)]
    assert drawn[0] != later[0], "and for each epoch"


@pytest.mark.parametrize(("ranks", "batch_size"), [(2, 96), (5, 70)], ids=["even", "uneven"])
def test_ranks_share_the_batches_of_one_process(make_job: Callable[..., TrainingJob], ranks: int, batch_size: int) -> None:
    job = make_job(negatives=Uniform(num_negatives=20), batch_size=batch_size)
    whole, *shares = batches(job, 0), *(batches(job, 0, rank, ranks) for rank in range(ranks))
    for batch, *parts in zip(whole, *shares, strict=True):
        together = torch.cat([part.item_rows[part.positive] for part in parts])
        assert together.equal(batch.item_rows[batch.positive])
        for part in parts:
            assert set(part.item_rows[part.origin > 0].tolist()) == set(batch.item_rows[batch.origin > 0].tolist())


def test_the_number_of_batches() -> None:
    assert [num_batches(count, 10) for count in (1, 10, 11, 20)] == [1, 1, 2, 2]


@pytest.mark.parametrize(("pairs", "size"), [(250, 250), (10**6, None)])
def test_an_epoch_of_fewer_pairs_has_fewer_batches(make_job: Callable[..., TrainingJob], pairs: int, size: int | None) -> None:
    job = make_job(batch_size=100)
    epoch = epoch_of(job, taken=pairs)
    sizes = [len(batch.positive) for batch in epoch]
    assert len(sizes) == len(epoch)
    assert sum(sizes) == epoch.examples == (size or len(job.dataset.train))


def test_an_in_batch_item_weighs_as_often_as_the_whole_batch_holds_it(make_job: Callable[..., TrainingJob]) -> None:
    """Held once however often it was drawn: 1 - (1 - p) ** batch, with the batch of all ranks."""
    job = make_job(batch_size=100)
    share = torch.from_numpy(job.dataset.counts / job.dataset.counts.sum()).double()
    for ranks in (1, 2):
        batch = batches(job, 0, 0, ranks)[0]
        size = 96
        expected = 1 - (1 - share[batch.item_rows]) ** size
        torch.testing.assert_close(batch.log_q.double().exp(), expected, rtol=0.005, atol=1e-6)  # unseen items take a little of each share


def epoch_of(job: TrainingJob, **changes: Any) -> EpochBatches:
    return EpochBatches(dataset=job.dataset, sampler=job.sampler, batch_size=job.settings.batch_size, seed=job.seed, **changes)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("next-batch")]


def test_batches_that_are_made_beside_the_steps_are_the_same(make_job: Callable[..., TrainingJob]) -> None:
    job = make_job(negatives=Uniform(num_negatives=20))
    for one, other in zip(epoch_of(job), epoch_of(job, prefetch=True), strict=True):
        assert one.item_rows.equal(other.item_rows)
        assert one.log_q.equal(other.log_q)
    assert not threads()


def test_an_error_beside_a_step_comes_out_at_the_next(make_job: Callable[..., TrainingJob], monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job()
    calls = iter([datamodule.batches.assemble])

    def assemble(*arguments: Any) -> Batch:
        made = next(calls, None)
        if made is None:
            raise OSError("the disk is gone")
        return made(*arguments)

    monkeypatch.setattr(datamodule.batches, "assemble", assemble)
    loader = iter(epoch_of(job, prefetch=True))
    next(loader)
    with pytest.raises(OSError, match="the disk is gone"):
        next(loader)
    assert not threads()


def test_a_loader_that_is_left_leaves_no_thread(make_job: Callable[..., TrainingJob]) -> None:
    loader = iter(epoch_of(make_job(), prefetch=True))
    next(loader)
    assert threads()
    loader.close()  # type: ignore[attr-defined]  # a generator, which an interrupt closes
    assert not threads()


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_queue_counts_the_positives_that_it_holds(make_job: Callable[..., TrainingJob], ranks: int) -> None:
    """288 pairs in 3 batches of 96: presence among the step's positives and the last 150 before it."""
    job = make_job(negatives=Queue(memory=150))
    asked: list[int] = []
    sampler: Any = SimpleNamespace(in_batch=True, memory=150, draw=job.sampler.draw)
    sampler.log_presence = lambda rows, batch: asked.append(batch) or job.sampler.log_presence(rows, batch)
    for epoch in (0, 1):
        list(replace(epoch_of(job, epoch=epoch, world_size=ranks), sampler=sampler))
    assert asked == [96, 96 + 96, 96 + 150, 96 + 150, 96 + 150, 96 + 150]


@pytest.mark.parametrize("ranks", [1, 2])
def test_frequencies_are_estimated_from_whole_batches_also_after_a_resumption(make_job: Callable[..., TrainingJob], ranks: int) -> None:
    def presence(job: TrainingJob) -> list[float]:
        return job.sampler.log_presence(np.arange(job.dataset.num_items), 10).tolist()

    straight, resumed, whole = (make_job(batch_size=60, negatives=InBatch(frequency="streaming")) for _ in range(3))
    template = epoch_of(straight, rank=ranks - 1, world_size=ranks)
    for epoch in (0, 1, 2):
        list(replace(template, epoch=epoch))
    list(epoch_of(resumed, epoch=2, rank=ranks - 1, world_size=ranks))
    assert presence(straight) == presence(resumed)
    for epoch in (0, 1, 2):
        list(epoch_of(whole, epoch=epoch))
    assert presence(whole) == presence(straight)


def test_a_guide_s_vectors_go_along_by_question_and_by_row(make_job: Callable[..., TrainingJob]) -> None:
    job = make_job(negatives=Uniform(num_negatives=20))
    view = job.dataset.training_view()
    questions, items = (np.arange(2 * size, dtype=np.float32).reshape(size, 2) for size in (int(view.questions.max()) + 1, view.num_items))
    batch = next(iter(epoch_of(job, guide=GuideVectors(questions, items, view.questions))))
    assert batch.guide is not None
    assert batch.guide[1][:, 0].tolist() == (2 * batch.item_rows).tolist()
    index = datamodule.batches.epoch(len(job.dataset.train), 96, 1, 0, job.seed, 0)[0]
    assert batch.guide[0][:, 0].tolist() == (2 * view.questions[index]).tolist()


def test_a_guide_without_texts_is_refused(make_job: Callable[..., TrainingJob]) -> None:
    screen: Any = SimpleNamespace(encoder=lambda: lambda texts: np.zeros((len(texts), 2), np.float32))
    with pytest.raises(ConfigError, match="the query side has none: use screen=margin"):
        guide_vectors(screen, make_job().dataset.training_view())
