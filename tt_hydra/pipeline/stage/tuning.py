"""index=auto: validation queries, the figures that indexes are judged by, and what is written of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from tt_hydra.contracts import FloatArray
from tt_hydra.data.dataset import Dataset
from tt_hydra.index.auto import Auto
from tt_hydra.index.faiss_index import FaissIndex
from tt_hydra.index.tune.judge import Judge, Questions
from tt_hydra.index.tune.measure import K
from tt_hydra.index.tune.resident import resident_bytes
from tt_hydra.index.tune.search import Job, Outcome, tune
from tt_hydra.loss.matryoshka import trained_prefixes
from tt_hydra.metrics.ann import ann_recall
from tt_hydra.metrics.exact import exact_search
from tt_hydra.metrics.latency import measure_latency
from tt_hydra.pipeline.settings import RunSettings
from tt_hydra.pipeline.stage.account import Labelled
from tt_hydra.pipeline.stage.embed import ITEMS, load_vectors, queries_file

logger = logging.getLogger(__name__)

RESAMPLES = 500
JUDGED = 2000
"""Validation examples that quality against labels is measured on, at most."""
FEW = 20
"""Validation queries below which items stand in for them."""


def tuned(settings: RunSettings, dataset: Dataset, embedding: Path, folder: Path) -> Outcome:
    """Finds the index of ``index=auto`` over the vectors of the embed stage.

    Raises:
        BudgetError: no index keeps the budget.
    """
    assert isinstance(settings.index, Auto)
    items = load_vectors(embedding, ITEMS)
    queries = load_vectors(embedding, queries_file("valid"))
    sampled = len(queries) < FEW
    if sampled:
        logger.warning(
            "index=auto: there are %d validation queries, so it is tuned on items as queries, which are easier to answer than real ones: "
            "expect less recall than its figures say", len(queries),
        )  # fmt: skip
        queries = items
    order = np.random.default_rng(settings.seed).permutation(len(queries))
    half = min(settings.index.queries, (len(order) + 1) // 2)
    first, second = (np.sort(rows) for rows in (order[:half], order[half : 2 * half] if len(order) > 1 else order))
    judge = Judge(
        tune=_questions(queries[first], items, settings),
        fresh=_questions(queries[second], items, settings),
        latency=lambda call, count, warm_up: measure_latency(call, count, warm_up=warm_up),
        quality=_quality(settings, dataset, embedding),
        resident=lambda saved: resident_bytes(saved, embedding / ITEMS),
    )
    job = Job(
        auto=settings.index if settings.index.prefixes is not None else replace(settings.index, prefixes=trained_prefixes(settings.loss)),
        quantization=settings.quantization,
        prefix_dim=settings.prefix_dim,
        budget=settings.budget,
        metric=settings.metric,
        seed=settings.seed,
    )
    outcome = tune(job, items, embedding / ITEMS, judge, folder)
    return replace(outcome, figures={**outcome.figures, "sampled": float(sampled)})


def _questions(queries: FloatArray, items: FloatArray, settings: RunSettings) -> Questions:
    asked = np.ascontiguousarray(queries)
    exact = exact_search(asked, items, K, settings.metric)
    return Questions(asked, lambda found: ann_recall(found, exact, asked, items, settings.metric, seed=settings.seed, resamples=RESAMPLES))


def _quality(settings: RunSettings, dataset: Dataset, embedding: Path) -> Callable[[FaissIndex], float] | None:
    """recall@10 against labels on validation examples, at most so many of them; None where there are none."""
    block = dataset.eval_part("valid")
    if not len(block.relevant.values):
        return None
    queries = load_vectors(embedding, queries_file("valid"))
    rows = np.linspace(0, len(queries) - 1, min(JUDGED, len(queries))).astype(np.int64)
    labelled = Labelled(
        queries=np.ascontiguousarray(queries[rows]),
        items=load_vectors(embedding, ITEMS),
        relevant=block.relevant.take(rows),
        gains=block.gains.take(rows),
        seen=block.seen.take(rows) if settings.evaluate.exclude_seen else None,
        metric=settings.metric,
    )
    return lambda index: float(labelled.recall(index).mean())
