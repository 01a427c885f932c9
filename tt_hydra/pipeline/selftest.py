"""How near a loss on sampled negatives comes to the softmax over all items: measured on a catalogue small enough to know the answer."""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tt_hydra.contracts import (
    DrawRequest,
    FittedSampler,
    IntArray,
    Loss,
    LossFunction,
    NegativeSampler,
    Origin,
    Ragged,
    Targets,
    TrainingView,
)
from tt_hydra.loss.matryoshka import Matryoshka
from tt_hydra.loss.multi_task import MultiTask
from tt_hydra.loss.sampled_softmax import SampledSoftmax
from tt_hydra.negatives.catalogue import Catalogue
from tt_hydra.negatives.streaming import Observer

QUERIES, ITEMS, BATCH, TEMPERATURE, TOP = 40, 300, 64, 0.2, 10
STEPS, LEARNING_RATE = 1000, 0.05
GOLDEN = (math.sqrt(5) - 1) / 2
SIZES = {"num_negatives": BATCH, "memory": 2 * BATCH}
"""What counts items of a catalogue, cut to this one: all of them would be no sample."""
Correction = float
"""Factor on the sampling probabilities' logarithms: 1 as told by the sampler, 0 for none, -1 for the wrong sign."""

FloatMatrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Nearness:
    """Distance of what a loss learned from the truth.

    Attributes:
        divergence: Kullback-Leibler divergence of the learned softmax from the true one, nats, mean over queries.
        overlap: share of the true ten best items among the learned ten best, mean over queries.
    """

    divergence: float
    overlap: float


@dataclass(frozen=True, slots=True)
class World:
    """A stream of examples, and what the softmax over all items makes of it at its optimum: each query's share of each item.

    Attributes:
        truth: ``(QUERIES, ITEMS)`` share of each item among a query's positives.
        queries: ``(steps, BATCH)``.
        positives: ``(steps, BATCH)``.
    """

    truth: FloatMatrix
    queries: IntArray
    positives: IntArray

    @classmethod
    def make(cls, steps: int, seed: int) -> World:
        """Items that are popular by Zipf's law, and liked more or less by each query.

        A query's positives follow its distribution by the golden ratio, so that every part of the stream has nearly the shares of the
        whole: what the figures show is the objective, not the noise of the last steps.
        """
        generator = np.random.default_rng(seed)
        logits = generator.standard_normal((QUERIES, ITEMS)) - np.log(np.arange(1, ITEMS + 1))
        upto = np.cumsum(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), axis=1)
        queries = generator.integers(0, QUERIES, steps * BATCH)
        positives = np.empty_like(queries)
        for query in range(QUERIES):
            asked = np.flatnonzero(queries == query)
            chance = (generator.random() + np.arange(len(asked)) * GOLDEN) % 1
            positives[asked] = np.minimum(np.searchsorted(upto[query], chance), ITEMS - 1)
        counts = np.bincount(queries * ITEMS + positives, minlength=QUERIES * ITEMS).reshape(QUERIES, ITEMS)
        return cls(counts / counts.sum(axis=1, keepdims=True), queries.reshape(steps, BATCH), positives.reshape(steps, BATCH))

    def training(self) -> TrainingView:
        """What a sampler is told: one example for each query, and how often an item is a positive."""
        nothing = Ragged(np.empty(0, np.int64), np.zeros(QUERIES + 1, np.int64))
        counts = np.bincount(self.positives.ravel(), minlength=ITEMS).astype(np.float32)
        return TrainingView(counts=counts, questions=np.arange(QUERIES), known=nothing)


def asked_for(overrides: Sequence[str]) -> bool:
    """Whether a command line names a loss or negatives, so that it is worth some seconds."""
    return any(override.lstrip("+~").partition("=")[0].partition(".")[0] in ("loss", "negatives") for override in overrides)


def lines(loss: Loss, sampler: NegativeSampler) -> list[str]:
    """The self-test in words, one line for each row of its table."""
    reason = not_measured(loss, sampler)
    if reason is not None:
        return [f"not measured: {reason}"]
    head = f"{f'{QUERIES} queries, {ITEMS} items':<20} KL divergence  top-{TOP} overlap"
    rows = selftest(loss, sampler)
    return [head, *(f"{name:<20} {near.divergence:13.3f}  {near.overlap:14.3f}" for name, near in rows)]


def not_measured(loss: Loss, sampler: NegativeSampler) -> str | None:
    """Why a pair is not measured, or None where it is."""
    if getattr(sampler, "requires_given", False) or getattr(sampler, "has_pool", False):
        return "hard negatives leave the full softmax on purpose"
    if getattr(loss, "requires_teacher", False):
        return "the loss learns from a teacher's scores"
    if isinstance(loss, (Matryoshka, MultiTask)):
        return "the loss has several objectives; name one of them"
    return None


def selftest(loss: Loss, sampler: NegativeSampler, steps: int = STEPS) -> list[tuple[str, Nearness]]:
    """The pair, the same without its correction (or with one, where the loss has none), and the softmax over all items, trained as long.

    The learned scores are free numbers, one for each query and item, so that nothing but the objective keeps them from the truth.
    """
    corrected = SampledSoftmax()
    table = [("as configured", measure(loss, sampler, steps=steps))]
    if loss.uses_log_q:
        table.append(("without correction", measure(loss, sampler, correction=0.0, steps=steps)))
    else:
        table.append(("sampled_softmax", measure(corrected, sampler, steps=steps)))
    return [*table, ("full softmax", measure(corrected, Catalogue(), steps=steps))]


def measure(loss: Loss, sampler: NegativeSampler, *, correction: Correction = 1.0, steps: int = STEPS, seed: int = 0) -> Nearness:
    """Trains free scores under a loss and a sampler, and compares them with the truth."""
    world = World.make(steps, seed)
    fitted = _small(sampler).fit(world.training())
    scores = nn.Parameter(torch.zeros(QUERIES, ITEMS))
    function = loss.build()
    own = list(function.parameters()) if isinstance(function, nn.Module) else []
    optimizer = torch.optim.Adam([scores, *own], lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * step / steps)))
    for queries, targets, candidates in _steps(world, fitted, correction, seed):
        optimizer.zero_grad()
        _loss(function, scores, queries, candidates, targets).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return _nearness(world.truth, scores.detach())


def _loss(function: LossFunction, scores: Tensor, queries: Tensor, candidates: Tensor, targets: Targets) -> Tensor:
    """The loss of the table's own entries: a query's vector is its row, an item's vector is a unit vector."""
    return function(scores[queries][:, candidates], torch.eye(len(candidates)), targets, torch.tensor(TEMPERATURE)).loss


def _steps(world: World, sampler: FittedSampler, correction: Correction, seed: int) -> Iterator[tuple[Tensor, Targets, Tensor]]:
    """Queries, targets and candidates of each step, as training makes them."""
    kept: deque[int] = deque(maxlen=sampler.memory)
    generator = np.random.default_rng([seed, 1])
    for number, (queries, positives) in enumerate(zip(world.queries, world.positives, strict=True), 1):
        if isinstance(sampler, Observer):
            sampler.observe(positives, number)
        drawn = sampler.draw(DrawRequest(examples=queries, positives=positives), generator)
        remembered = np.array(kept, np.int64)
        rows, column = np.unique(np.concatenate([positives, drawn.rows, remembered]), return_inverse=True)
        positive = np.full(BATCH, int(Origin.IN_BATCH if sampler.in_batch else 0))
        origin = np.zeros(len(rows), np.int64)
        np.bitwise_or.at(origin, column, np.concatenate([positive, drawn.origin, np.full(len(remembered), int(Origin.QUEUE))]))
        log_q = correction * drawn.log_q(rows, sampler.log_presence(rows, BATCH + len(kept)), sampler.in_batch)
        targets = Targets.plain(
            torch.from_numpy(column[:BATCH]), len(rows), origin=torch.from_numpy(origin), log_q=torch.from_numpy(log_q).float()
        )
        kept.extend(positives.tolist())
        yield torch.from_numpy(queries), targets, torch.from_numpy(rows)


def _small(sampler: NegativeSampler) -> NegativeSampler:
    if not dataclasses.is_dataclass(sampler):
        return sampler
    sizes = {
        field.name: min(SIZES[field.name], getattr(sampler, field.name)) for field in dataclasses.fields(sampler) if field.name in SIZES
    }
    return dataclasses.replace(sampler, **sizes)


def _nearness(truth: FloatMatrix, scores: Tensor) -> Nearness:
    learned = torch.log_softmax(scores.double() / TEMPERATURE, dim=1).numpy()
    divergence = float((truth * (np.log(np.maximum(truth, 1e-300)) - learned)).sum(axis=1).mean())
    best, found = (np.argsort(-values, axis=1, kind="stable")[:, :TOP] for values in (truth, learned))
    overlap = float(np.mean([len(np.intersect1d(one, other)) / TOP for one, other in zip(best, found, strict=True)]))
    return Nearness(divergence, overlap)
