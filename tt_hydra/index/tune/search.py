"""The whole of ``index=auto``: from vectors, a budget and someone who judges to the best index and every point that was measured."""

from __future__ import annotations

import logging
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tt_hydra.contracts import FloatArray, Metric, OperatingPoint
from tt_hydra.errors import IndexSpecError
from tt_hydra.index.auto import Auto
from tt_hydra.index.budget import Budget
from tt_hydra.index.check import Quantization
from tt_hydra.index.faiss_index import FaissIndex
from tt_hydra.index.tune.abilities import buildable
from tt_hydra.index.tune.candidates import Candidate
from tt_hydra.index.tune.dominance import on_front
from tt_hydra.index.tune.effort import effort
from tt_hydra.index.tune.judge import Judge, Point, judge_quality
from tt_hydra.index.tune.proposals import VectorFacts, propose
from tt_hydra.index.tune.tuner import Tuned, Tuner
from tt_hydra.index.tune.workshop import Workshop, quietly
from tt_hydra.index.vectors import Rows
from tt_hydra.quantization.none import NoQuantization

logger = logging.getLogger(__name__)

NORMS_SAMPLED = 10_000
QUICK_S = 5.0
"""Estimated seconds to build beyond which a relaxation is not tried."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What is looked for.

    Attributes:
        auto: where.
        quantization: the only one to use, unless it is none.
        prefix_dim: leading dimensions to keep; None leaves that to ``auto.prefixes``.
        budget: what is to be kept.
        metric: similarity.
        seed: of everything random.
    """

    auto: Auto
    quantization: Quantization
    prefix_dim: int | None
    budget: Budget
    metric: Metric
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What was found.

    Attributes:
        index: with the tuned search parameters as its own.
        build_s: seconds that building it alone takes.
        points: all operating points; one is chosen.
        figures: ``candidates``, ``points``, ``seconds``, ``winners_curse``.
    """

    index: FaissIndex
    build_s: float
    points: Sequence[OperatingPoint]
    figures: Mapping[str, float]


def tune(job: Job, vectors: FloatArray, vectors_file: Path, judge: Judge, folder: Path) -> Outcome:
    """Finds the best index.

    Args:
        job: what is looked for.
        vectors: ``(items, dim)``, possibly memory-mapped.
        vectors_file: the file that they lie in.
        judge: how indexes are measured.
        folder: for files that are written to be measured; they are removed again.

    Raises:
        BudgetError: no candidate keeps the budget.
        IndexSpecError: there is no candidate for these vectors, whatever it may cost.
    """
    catalogue = describe(job, vectors)
    room = job.budget.bytes_limit(catalogue.size)
    with quietly():
        relaxed = beyond(catalogue, job, room)
        candidates = propose(catalogue, job.auto, job.quantization, room)
    relaxed, candidates = buildable(relaxed), buildable(candidates)
    if not candidates and not relaxed:
        raise _impossible(job, catalogue)
    logger.info("index=auto: %d candidates for %d items of %d dimensions", len(candidates), catalogue.size, catalogue.dim)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".tuning") as scratch:
        workshop = Workshop(vectors, job.metric, job.seed, Path(scratch), vectors_file)
        tuner = Tuner(workshop, judge, job.budget, job.auto.seconds, relaxed)
        found = tuner.run(candidates)
        judge_quality(found.points, judge)
    points = operating_points(found, job.budget, catalogue)
    return Outcome(
        index=found.index,
        build_s=found.winner.built.build_s,
        points=points,
        figures={
            "candidates": float(len({id(point.built) for point in found.points})),
            "skipped": float(len(found.skipped)),
            "points": float(len(points)),
            "seconds": found.seconds,
            "winners_curse": found.curse,
        },
    )


def _impossible(job: Job, catalogue: VectorFacts) -> IndexSpecError:
    families = "null" if job.auto.families is None else f"[{', '.join(job.auto.families)}]"
    kept = "" if isinstance(job.quantization, NoQuantization) else f" with quantization={type(job.quantization).__name__.lower()}"
    return IndexSpecError(
        f"index.families={families}: none of them can be built{kept} over {catalogue.size} items of {catalogue.dim} dimensions; "
        "index.families=null tries all kinds, and flat takes any number of items"
    )


def beyond(catalogue: VectorFacts, job: Job, room: float | None) -> list[Candidate]:
    """Candidates beyond the limit on bytes, smallest first: those that are quick to build, or the smallest; they tell what would fit."""
    if room is None:
        return []

    def size(candidate: Candidate) -> float:
        return candidate.bytes_per_item(catalogue.size, catalogue.dim)

    found = propose(catalogue, job.auto, job.quantization, math.inf)
    larger = sorted((each for each in found if size(each) > room), key=size)
    return [each for each in larger if effort(each, catalogue.size, catalogue.dim).seconds < QUICK_S] or larger[:1]


def describe(job: Job, vectors: FloatArray) -> VectorFacts:
    """What proposals need to know of the vectors."""
    sample = Rows(vectors, job.metric).sample(NORMS_SAMPLED, job.seed)
    norms = np.linalg.norm(sample, axis=1)
    spread = float(np.log(norms[norms > 0]).std()) if (norms > 0).any() else 0.0
    threads = job.auto.threads or os.cpu_count() or 1
    dim = vectors.shape[1]
    prefixes = (None, *_shorter(job.auto.prefixes or (), dim)) if job.prefix_dim is None else (job.prefix_dim,)
    return VectorFacts(size=len(vectors), dim=dim, norm_spread=spread, threads=threads, prefixes=prefixes)


def _shorter(prefixes: Sequence[int], dim: int) -> list[int]:
    """Those that cut something off; of an encoder's or given vectors nobody knows the width before."""
    if wide := sorted(prefix for prefix in prefixes if prefix >= dim):
        logger.warning("index.prefixes holds %s, no shorter than the vectors, which have %d dimensions: not tried", wide, dim)
    return sorted(prefix for prefix in prefixes if prefix < dim)


def operating_points(found: Tuned, budget: Budget, catalogue: VectorFacts) -> list[OperatingPoint]:
    """All points as rows of the frontier."""
    size = catalogue.size
    front = on_front([point.costs for point in found.points])
    return [_row(point, found, budget, catalogue.dim, size, bool(kept)) for point, kept in zip(found.points, front, strict=True)]


def _row(point: Point, found: Tuned, budget: Budget, dim: int, size: int, kept: bool) -> OperatingPoint:
    candidate = point.built.candidate
    again = point.tuned is not None
    missed = [f"{each} on fresh queries" if again else each for each in budget.told_missed(point.figures(size))]
    chosen = point is found.winner
    return OperatingPoint(
        name=candidate.name(point.params),
        overrides=candidate.tuned(point.params).overrides(),
        family=candidate.family,
        quantization=candidate.codes,
        dim=candidate.prefix_dim or dim,
        recall=point.first.recall,
        quality=point.quality,
        p50_ms=point.first.p50_ms,
        p95_ms=point.first.p95_ms,
        p99_ms=point.first.p99_ms,
        fresh=point.last if again else None,
        bytes_per_item=point.built.bytes_per_item,
        resident_bytes_per_item=point.built.resident_bytes_per_item,
        build_s=point.built.build_s,
        meets=not missed,
        on_front=kept,
        chosen=chosen,
        reason=found.reason if chosen else "; ".join(missed) or ("" if kept else "another point is as good in everything"),
    )
