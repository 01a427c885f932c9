from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch

from tt_hydra.contracts import Batch
from tt_hydra.negatives.uniform import Uniform
from tt_hydra.train.datamodule import BatchModule, num_batches
from tt_hydra.train.fit import TrainingJob


def batches(job: TrainingJob, epoch: int, rank: int = 0, ranks: int = 1) -> list[Batch]:
    module = BatchModule(job.dataset, job.sampler, job.settings.batch_size, job.seed)
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


def test_ranks_share_the_batches_of_one_process(make_job: Callable[..., TrainingJob]) -> None:
    job = make_job(negatives=Uniform(num_negatives=20))
    whole, *shares = batches(job, 0), batches(job, 0, 0, 2), batches(job, 0, 1, 2)
    for batch, *parts in zip(whole, *shares, strict=True):
        together = torch.cat([part.item_rows[part.positive] for part in parts])
        assert together.equal(batch.item_rows[batch.positive])
        for part in parts:
            assert set(part.item_rows[part.origin > 0].tolist()) == set(batch.item_rows[batch.origin > 0].tolist())


def test_the_number_of_batches() -> None:
    assert [num_batches(count, 10) for count in (1, 10, 11, 20)] == [1, 1, 2, 2]


def test_an_in_batch_item_weighs_as_often_as_the_whole_batch_holds_it(make_job: Callable[..., TrainingJob]) -> None:
    """Held once however often it was drawn: 1 - (1 - p) ** batch, with the batch of all ranks."""
    job = make_job(batch_size=100)
    share = torch.from_numpy(job.dataset.counts / job.dataset.counts.sum()).double()
    for ranks in (1, 2):
        batch = batches(job, 0, 0, ranks)[0]
        size = len(batch.positive) * ranks
        expected = 1 - (1 - share[batch.item_rows]) ** size
        torch.testing.assert_close(batch.log_q.double().exp(), expected, rtol=0.005, atol=1e-6)  # unseen items take a little of each share
