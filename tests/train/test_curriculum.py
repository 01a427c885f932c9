"""When a curriculum is asked and told: the negatives of a step are ordered when the step before it begins, prefetched or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from tt_hydra.contracts import CurriculumState, Drawn, DrawRequest, FittedSampler, FloatArray, Hardness, IntArray, TrainingView
from tt_hydra.curriculum.target_hardness import TargetHardness
from tt_hydra.negatives.in_batch import InBatch
from tt_hydra.train.fit import TrainingSummary

Train = Callable[..., Path]


class Counting(CurriculumState):
    """Tells how many steps it has seen: as the share, in thousandths, and as the factor on the temperature."""

    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.tensor(0.0))

    def forward(self, progress: float) -> Hardness:
        return Hardness(share=float(self.seen) / 1000, window=(1, 1 + round(100 * progress)), temperature=1 + float(self.seen))

    def observe(self, effective_negatives: float, progress: float) -> None:
        assert effective_negatives >= 1
        self.seen += 1


@dataclass(frozen=True)
class CountingSpec:
    observes: ClassVar[bool] = True

    def build(self) -> CurriculumState:
        return Counting()


@dataclass
class Recording:
    """In-batch negatives that write down what is asked of them."""

    requests: list[DrawRequest] = field(default_factory=list)
    inner: FittedSampler | None = None
    in_batch: ClassVar[bool] = True
    memory: ClassVar[int] = 0

    def fit(self, training: TrainingView) -> FittedSampler:
        self.inner = InBatch().fit(training)
        return self

    def draw(self, request: DrawRequest, generator: np.random.Generator) -> Drawn:
        assert self.inner is not None
        self.requests.append(request)
        return self.inner.draw(request, generator)

    def log_presence(self, rows: IntArray, batch: int) -> FloatArray:
        assert self.inner is not None
        return self.inner.log_presence(rows, batch)


def asked(sampler: Recording) -> list[tuple[int, int, Any]]:
    return [(request.step, round(1000 * request.hardness.share), request.hardness.window) for request in sampler.requests]


@pytest.mark.parametrize("prefetch", [False, True])
def test_a_batch_is_ordered_when_the_step_before_it_begins(train: Train, prefetch: bool) -> None:
    sampler = Recording()
    folder = train(max_epochs=2, negatives=sampler, curriculum=CountingSpec(), prefetch=prefetch)
    windows = [(1, 1 + round(100 * step / 5)) for step in range(6)]
    seen = [0, 0, 1, 3, 3, 4]
    assert asked(sampler) == list(zip(range(6), seen, windows, strict=True)), (
        "three steps an epoch; its first batch is ordered at its start"
    )
    temperatures = [point["temperature"] for point in TrainingSummary.load(folder).curves]
    assert temperatures == pytest.approx([0.1 * (1 + sum(seen[:3]) / 3), 0.1 * (1 + sum(seen[3:]) / 3)], rel=1e-5)


def test_the_curves_tell_what_was_asked_for(train: Train) -> None:
    curves = TrainingSummary.load(train(max_epochs=2, curriculum=CountingSpec())).curves
    assert [point["negatives_share"] for point in curves] == pytest.approx([1 / 3000, 10 / 3000], rel=1e-5)
    assert [point["negatives_window_last"] for point in curves] == pytest.approx([21, 81])
    assert all(point["effective_negatives"] > 1 for point in curves)


def test_the_curves_tell_the_declared_number_of_negatives_beside_the_observed(train: Train) -> None:
    """From 32 to 8 over six steps: a geometric curve, whose means over the two epochs' steps are these."""
    curves = TrainingSummary.load(train(max_epochs=2, curriculum=TargetHardness(start=32, end=8))).curves
    assert not any(name.startswith("negatives_") for point in curves for name in point), "it moves the temperature, not what is drawn"
    declared = [32 * 4 ** (-step / 5) for step in range(6)]
    assert [point["effective_negatives_declared"] for point in curves] == pytest.approx(
        [sum(declared[:3]) / 3, sum(declared[3:]) / 3], rel=1e-4
    )


def test_without_a_curriculum_nothing_is_told_of_one(train: Train) -> None:
    assert not any(name.startswith("negatives_") for point in TrainingSummary.load(train(max_epochs=1)).curves for name in point)
