from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from tt_hydra.contracts import Origin, Ragged, TrainingView
from tt_hydra.loss.infonce import InfoNCE
from tt_hydra.loss.kl_distill import KLDistill
from tt_hydra.loss.margin_mse import MarginMSE
from tt_hydra.loss.matryoshka import Matryoshka
from tt_hydra.loss.multi_task import MultiTask
from tt_hydra.loss.sampled_softmax import SampledSoftmax
from tt_hydra.negatives.bm25 import BM25
from tt_hydra.negatives.catalogue import Catalogue
from tt_hydra.negatives.frequency import log_share
from tt_hydra.negatives.given import Given
from tt_hydra.negatives.in_batch import InBatch
from tt_hydra.negatives.mixed import Mixed
from tt_hydra.negatives.pool import FittedPool, Pool, PoolRule
from tt_hydra.negatives.popularity import Popularity
from tt_hydra.negatives.queue import Queue
from tt_hydra.negatives.uniform import Uniform
from tt_hydra.pipeline import selftest
from tt_hydra.pipeline.selftest import BATCH, ITEMS, QUERIES, TEMPERATURE, Nearness, World, asked_for, lines, measure

STEPS = 400


class OneOfAll:
    """One item for each query, any of the catalogue, which the other queries share: mined negatives in whose pool everything is."""

    requires_given = False

    def fit(self, training: TrainingView) -> FittedPool:
        every = Ragged(np.tile(np.arange(ITEMS), QUERIES), np.arange(QUERIES + 1) * ITEMS)
        pool = Pool.of(every, np.zeros(QUERIES * ITEMS, np.float32), training.known, np.empty(0, np.float32), ITEMS)
        return FittedPool(PoolRule(last=ITEMS), Origin.MINED, training.questions, log_share(training.counts), pool)


SAMPLERS = {
    "in_batch": InBatch(),
    "one of all": OneOfAll(),
    "popularity": Popularity(),
    "mixed": Mixed(),
    "queue": Queue(),
}


@functools.cache
def near(name: str, correction: float) -> Nearness:
    return measure(SampledSoftmax(), SAMPLERS[name], correction=correction, steps=STEPS)


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_right_correction_beats_none_by_a_wide_margin(name: str) -> None:
    right, none = near(name, 1.0), near(name, 0.0)
    assert right.overlap > 0.85
    assert right.overlap > none.overlap + 0.12
    assert right.divergence < 0.67 * none.divergence


def test_what_was_drawn_for_another_query_is_corrected_by_the_way_it_came() -> None:
    """More negatives, of which each counts as often as it should, bring no query farther from the truth than those of the batch."""
    assert near("one of all", 1.0).divergence < 1.1 * near("in_batch", 1.0).divergence


@pytest.mark.parametrize("memory", [5, BATCH, BATCH + 7])
def test_a_queue_keeps_the_newest_positives_whatever_the_batch(memory: int) -> None:
    """Candidates of the third step, and how likely they are: with those that are kept, as one of ``64 + memory`` positives."""
    world = World.make(3, 0)
    fitted = Queue(memory=memory).fit(world.training())
    _, targets, candidates = list(selftest._steps(world, fitted, 1.0, 0))[2]
    kept = world.positives[:2].ravel()[-memory:]
    assert candidates.tolist() == sorted({*world.positives[2].tolist(), *kept.tolist()})
    assert candidates[(targets.origin & int(Origin.QUEUE)) > 0].tolist() == sorted(set(kept.tolist()))
    assert targets.log_q.numpy() == pytest.approx(fitted.log_presence(candidates.numpy(), BATCH + memory))


@pytest.mark.parametrize("name", ["in_batch", "popularity", "mixed"])
def test_the_wrong_sign_is_worse_than_none(name: str) -> None:
    none, wrong = near(name, 0.0), near(name, -1.0)
    assert wrong.overlap < none.overlap - 0.12
    assert wrong.divergence > 1.5 * none.divergence


def test_a_correction_that_is_the_same_for_all_items_changes_nothing() -> None:
    right, none = (measure(SampledSoftmax(), Uniform(), correction=correction, steps=50) for correction in (1.0, 0.0))
    assert right.divergence == pytest.approx(none.divergence, abs=1e-5)


def test_a_loss_that_does_not_correct_is_as_good_as_one_whose_correction_is_off() -> None:
    plain = measure(InfoNCE(), InBatch(), steps=50)
    off = measure(SampledSoftmax(), InBatch(), correction=0.0, steps=50)
    assert plain.divergence == pytest.approx(off.divergence, abs=1e-4)


def test_the_truth_itself_is_at_no_distance() -> None:
    truth = World.make(STEPS, 0).truth
    assert truth.shape == (QUERIES, ITEMS)
    learned = torch.from_numpy(TEMPERATURE * np.log(np.maximum(truth, 1e-30)))
    found = selftest._nearness(truth, learned)
    assert found.divergence == pytest.approx(0.0, abs=1e-9)
    assert found.overlap == 1.0


def test_distances_by_hand() -> None:
    """Uniform scores against one item with probability 1: log 2 nats; all 2 items are among the best 10."""
    found = selftest._nearness(np.array([[1.0, 0.0]]), torch.zeros(1, 2))
    assert found.divergence == pytest.approx(np.log(2))


def test_it_repeats_itself() -> None:
    assert measure(SampledSoftmax(), Mixed(), steps=20) == measure(SampledSoftmax(), Mixed(), steps=20)


def test_the_table_has_the_pair_its_uncorrected_form_and_the_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def told(loss: object, sampler: object, *, correction: float = 1.0, steps: int = 0) -> Nearness:
        asked.append((type(loss), type(sampler), correction))
        return Nearness(len(asked) / 8, 0.5)

    monkeypatch.setattr(selftest, "measure", told)
    table = lines(SampledSoftmax(), InBatch())
    assert asked == [(SampledSoftmax, InBatch, 1.0), (SampledSoftmax, InBatch, 0.0), (SampledSoftmax, Catalogue, 1.0)]
    assert [line.split()[-2:] for line in table[1:]] == [["0.125", "0.500"], ["0.250", "0.500"], ["0.375", "0.500"]]
    assert [line[:18].strip() for line in table[1:]] == ["as configured", "without correction", "full softmax"]


def test_a_loss_that_does_not_correct_stands_beside_one_that_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "measure", lambda loss, sampler, **_: Nearness(type(loss) is SampledSoftmax, 0.5))
    table = lines(InfoNCE(), InBatch())
    assert [line.split()[:2] for line in table[1:]] == [["as", "configured"], ["sampled_softmax", "1.000"], ["full", "softmax"]]


@pytest.mark.parametrize("loss", [MarginMSE(), KLDistill(), Matryoshka(), MultiTask()])
def test_losses_of_another_aim_are_not_measured(loss: object) -> None:
    assert lines(loss, InBatch())[0].startswith("not measured: the loss")  # type: ignore[arg-type]


@pytest.mark.parametrize("sampler", [BM25(), Given()])
def test_hard_negatives_are_not_measured(sampler: object) -> None:
    assert lines(SampledSoftmax(), sampler) == ["not measured: hard negatives leave the full softmax on purpose"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("overrides", "asked"),
    [
        ([], False),
        (["tower=bert", "train.batch_size=8"], False),
        (["loss=infonce"], True),
        (["negatives.num_negatives=8"], True),
        (["+loss.chunk_size=1"], True),
        (["lossy=1"], False),
    ],
)
def test_it_is_asked_for_by_naming_loss_or_negatives(overrides: list[str], asked: bool) -> None:
    assert asked_for(overrides) is asked
