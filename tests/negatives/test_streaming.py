from __future__ import annotations

import numpy as np
import pytest
from training_views import view_of

from tt_hydra.negatives.in_batch import InBatch
from tt_hydra.negatives.mixed import Mixed
from tt_hydra.negatives.queue import Queue
from tt_hydra.negatives.streaming import BatchFrequency, Observer, StreamingFrequency

BATCH = 8


def presence(share: np.ndarray, batch: float = BATCH) -> np.ndarray:
    return 1 - (1 - share) ** batch


def run(estimate: StreamingFrequency, share: np.ndarray, first: int, steps: int, seed: int = 0) -> None:
    generator = np.random.default_rng(seed)
    for step in range(first, first + steps):
        estimate.observe(generator.choice(len(share), BATCH, p=share), step)


def zipf(size: int) -> np.ndarray:
    share = 1 / np.arange(1, size + 1)
    return share / share.sum()


def test_gaps_by_hand() -> None:
    """Seen at 2, 3 and 7: gaps 2, 1 and 4 whose mean is 7 / 3; an item that never came counts as if once in twice the time."""
    estimate = StreamingFrequency(4)
    for step in range(1, 8):
        estimate.observe(np.array([1, 1] if step in (2, 3, 7) else [2, 2]), step)
    told = np.exp(estimate.log_presence(np.array([1, 3]), 2))
    assert told == pytest.approx([3 / 7, 1 / 16])


@pytest.fixture(scope="module")
def settled() -> StreamingFrequency:
    """After 6,000 steps of 20 items by Zipf's law."""
    estimate = StreamingFrequency(20, rate=0.002)
    run(estimate, zipf(20), 1, 6000)
    return estimate


@pytest.mark.parametrize("batch", [2, BATCH, 3 * BATCH])
def test_converges_to_the_true_shares_for_a_step_a_part_of_one_and_several(settled: StreamingFrequency, batch: int) -> None:
    np.testing.assert_allclose(np.exp(settled.log_presence(np.arange(20), batch)), presence(zipf(20), batch), rtol=0.12)


def test_follows_a_shift() -> None:
    """The order is turned around: after it, the rare items are estimated as the frequent ones that they became."""
    share = zipf(20)
    estimate = StreamingFrequency(20)
    run(estimate, share, 1, 2000)
    before = np.exp(estimate.log_presence(np.arange(20), BATCH))
    run(estimate, share[::-1], 2001, 3000, seed=1)
    after = np.exp(estimate.log_presence(np.arange(20), BATCH))
    wanted = presence(share[::-1])
    assert np.abs(np.log(after / wanted)).mean() < 0.15
    assert np.abs(np.log(before / wanted)).mean() > 0.8


def test_several_hashes_undo_collisions() -> None:
    """400 items in 256 cells: alone, a hash function takes most items for more frequent than they are."""
    share = zipf(400)
    errors = []
    for hashes in (1, 5):
        estimate = StreamingFrequency(400, hashes=hashes, cells=256, rate=0.005)
        run(estimate, share, 1, 3000)
        errors.append(np.log(np.exp(estimate.log_presence(np.arange(400), BATCH)) / presence(share)).mean())
    assert errors[0] > 0.5
    assert 0 <= errors[1] < 0.5 * errors[0]


def test_what_was_seen_already_changes_nothing() -> None:
    estimate = StreamingFrequency(10)
    run(estimate, zipf(10), 1, 50)
    before = estimate.log_presence(np.arange(10), BATCH).tolist()
    run(estimate, zipf(10), 1, 50, seed=9)
    assert estimate.log_presence(np.arange(10), BATCH).tolist() == before


def test_goes_on_from_a_checkpoint_bit_for_bit() -> None:
    whole, first, second = (StreamingFrequency(30) for _ in range(3))
    generator = np.random.default_rng(0)
    batches = generator.choice(30, (100, BATCH), p=zipf(30))
    for step, rows in enumerate(batches, 1):
        whole.observe(rows, step)
        (first if step <= 60 else second).observe(rows, step)
        if step == 60:
            second.restore(first.state())
    assert second.step == 100
    assert second.log_presence(np.arange(30), BATCH).tolist() == whole.log_presence(np.arange(30), BATCH).tolist()


@pytest.mark.parametrize("option", [InBatch, Mixed, Queue])
def test_samplers_estimate_when_told_to(option: type[InBatch | Mixed | Queue]) -> None:
    view = view_of([6, 3, 1])
    exact, streaming = option().fit(view), option(frequency="streaming").fit(view)
    assert isinstance(streaming, Observer)
    told = exact.log_presence(np.arange(3), BATCH).tolist()
    for sampler in (exact, streaming):
        for step in range(1, 5):
            sampler.observe(np.array([2] * BATCH), step)
    assert exact.log_presence(np.arange(3), BATCH).tolist() == told
    assert np.exp(streaming.log_presence(np.array([2]), BATCH)) == pytest.approx([1.0])


def test_counts_are_not_asked_for_while_streaming() -> None:
    told = BatchFrequency.of(view_of([6, 3, 1]), "streaming").log_presence(np.arange(3), BATCH)
    assert np.ptp(told) == 0, "before the first batch nothing is known"
