"""A step within a given memory: what was chosen is measured by torch's own profiler, which had no part in the choice."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from training_steps import LOSSES, toy_batch, toy_towers

from tt_hydra.contracts import Batch, Loss
from tt_hydra.data.dataset import Dataset
from tt_hydra.errors import ConfigError
from tt_hydra.loss.infonce import InfoNCE
from tt_hydra.negatives.in_batch import InBatch
from tt_hydra.negatives.mined import Mined
from tt_hydra.negatives.queue import Queue
from tt_hydra.tower.mlp import Mlp
from tt_hydra.tower.two_tower import TwoTower
from tt_hydra.train.budget import GB, Choice, LiveBytes, Sizes, chunk_size_of, with_chunk_size, within, within_budget
from tt_hydra.train.cache import GradientCache
from tt_hydra.train.fit import SUMMARY, TrainingJob
from tt_hydra.train.targets import targets_of

EXAMPLES = np.resize(np.arange(288), 3000)


@pytest.fixture
def dataset(datasets: Callable[[str], Dataset]) -> Dataset:
    toy = datasets("leave_last_out")
    return toy.tokenized(toy_towers(toy, 0.0).tokenizers)


def step(towers: TwoTower, loss: InfoNCE, batch: Batch, micro_batch_size: int | None) -> None:
    cache = None if micro_batch_size is None else GradientCache(towers, micro_batch_size)
    queries, items = (towers.embed_queries(batch.queries), towers.embed_items(batch.items)) if cache is None else cache.embed(batch)
    loss.build()(queries, items, targets_of(batch), torch.tensor(0.1)).loss.backward()
    if cache is not None:
        cache.backward()


def peak(work: Callable[[], None]) -> int:
    """Bytes that live at once, by the profiler's record of every allocation."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        work()
    results = profile.profiler.kineto_results  # type: ignore[union-attr]
    changes = [(event.start_ns(), event.nbytes()) for event in results.events() if event.name() == "[memory]"]
    return int(np.cumsum([size for _, size in sorted(changes, key=lambda change: change[0])]).max())


def test_what_lives_at_once_is_counted() -> None:
    with LiveBytes() as live:
        first = torch.zeros(1000)
        second = first + 1
        del first
        torch.zeros(500).add_(1)
        del second
    assert live.peak == 8000


@pytest.mark.parametrize("share", [2.0, 0.8, 0.6])
def test_the_choice_keeps_a_step_within_the_budget(dataset: Dataset, share: float) -> None:
    towers, batch = toy_towers(dataset, 0.5, feature_dim=32), toy_batch(dataset, EXAMPLES, own=False)
    plain = peak(lambda: step(towers, InfoNCE(), batch, None))
    towers.zero_grad(set_to_none=True)
    choice = within(share * plain / GB, towers, InfoNCE(), batch, "32", Sizes())
    assert choice.chunk_size is not None
    used = peak(lambda: step(towers, InfoNCE(chunk_size=choice.chunk_size or 1), batch, choice.micro_batch_size))
    assert used <= share * plain
    assert (choice.micro_batch_size is None) == (share > 1)
    assert used > 0.3 * share * plain, "and makes use of it"


def test_less_than_one_row_needs_is_refused(dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match=r"train\.memory_gb=1e-06 is less than a step needs with one row at a time, about "):
        within(1e-6, toy_towers(dataset, 0.5), InfoNCE(), toy_batch(dataset, EXAMPLES, own=False), "32", Sizes())


def test_probing_leaves_no_gradient_and_no_trace_in_the_random_numbers(dataset: Dataset) -> None:
    towers, batch = toy_towers(dataset, 0.5), toy_batch(dataset, EXAMPLES, own=False)
    before = torch.get_rng_state()
    within(1.0, towers, InfoNCE(), batch, "32", Sizes())
    assert torch.get_rng_state().equal(before)
    assert all(parameter.grad is None for parameter in towers.parameters())


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
def test_every_loss_that_makes_tiles_takes_their_size(dataset: Dataset, loss: Loss) -> None:
    if chunk_size_of(loss) is None:
        assert with_chunk_size(loss, 77) == loss
    else:
        assert chunk_size_of(with_chunk_size(loss, 77)) == 77
    within(1.0, toy_towers(dataset, 0.0), loss, toy_batch(dataset, EXAMPLES, own=True), "32", Sizes(ranks=2, further_items=100))


def test_negatives_count_that_are_mined_after_the_first_batch(
    make_job: Callable[..., TrainingJob], dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first batch holds 96 queries, each of which will have 3 more candidates."""
    told: list[Sizes] = []

    def note(*others: object) -> Choice:
        assert isinstance(others[-1], Sizes)
        told.append(others[-1])
        return Choice(micro_batch_size=None, chunk_size=None, bytes=0)

    monkeypatch.setattr("tt_hydra.train.budget.within", note)
    for negatives in (Mined(per_query=3), InBatch(), Queue(memory=500)):
        within_budget(make_job(negatives=negatives, memory_gb=1.0), toy_batch(dataset, EXAMPLES[:96], own=False), lambda towers: None)
    assert [(sizes.further_items, sizes.remembered) for sizes in told] == [(288, 0), (0, 0), (0, 500)]


def test_remembered_candidates_make_tiles_and_vectors_larger(dataset: Dataset) -> None:
    """A tile has 64 rows at least, so 10,000 remembered vectors cost 64 * 10,000 more scores besides the vectors themselves."""
    towers, batch = toy_towers(dataset, 0.5, feature_dim=32), toy_batch(dataset, EXAMPLES, own=False)
    few, many = (within(1.0, towers, InfoNCE(), batch, "32", Sizes(remembered=count)) for count in (0, 10_000))
    assert many.bytes - few.bytes >= 4 * 10_000 * (64 + towers.dim)
    with pytest.raises(ConfigError, match=r"train\.memory_gb"):
        within(few.bytes / GB, towers, InfoNCE(), batch, "32", Sizes(remembered=10_000))


def test_a_training_tells_what_it_chose(
    make_job: Callable[..., TrainingJob], train: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    folder = train(max_epochs=1, memory_gb=0.0015, batch_size=288, tower=Mlp(feature_dim=64, text_buckets=64, dropout=0.2))
    assert (folder / SUMMARY).exists()
    assert any("train.memory_gb=0.0015: train.micro_batch_size=" in record.getMessage() for record in caplog.records)
