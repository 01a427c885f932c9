"""evaluate: what the model gives, what the index keeps of it, how fast and how large it is."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from tt_hydra.artifact.files import link_or_copy
from tt_hydra.contracts import FloatArray, Ragged, SearchResult, Split, VectorIndex
from tt_hydra.data.dataset import Dataset
from tt_hydra.data.parts import EvalPart
from tt_hydra.index.budget import Budget
from tt_hydra.index.faiss_index import FaissIndex
from tt_hydra.index.threads import single_thread
from tt_hydra.metrics.ann import recall_per_query
from tt_hydra.metrics.exact import exact_search
from tt_hydra.metrics.latency import Latency, measure_latency
from tt_hydra.metrics.ranking import DEFAULT_CUTOFFS, TEN, evaluate_ranking
from tt_hydra.metrics.significance import mean_intervals
from tt_hydra.pipeline.limits import missed
from tt_hydra.pipeline.settings import EvaluateSettings
from tt_hydra.pipeline.stage.account import RECALL, Labelled, Unlabelled, lost, prefix_recall
from tt_hydra.pipeline.stage.embed import ITEMS, PARTS, load_vectors, queries_file, rows_file
from tt_hydra.pipeline.stage.embed import SUMMARY as EMBEDDING
from tt_hydra.pipeline.stage.exclude import search_excluding
from tt_hydra.pipeline.stage.index import SUMMARY as BUILDING
from tt_hydra.tower.autocast import Precision
from tt_hydra.tower.two_tower import TwoTower
from tt_hydra.train.encode import evaluating

METRICS = "metrics.json"
ANN_CUTOFF = 10
Metrics = dict[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """What is measured.

    Attributes:
        towers: None where the vectors were given.
        budget: limits that the figures are held against; None where there is nothing to say of them.
        precision: of the towers' vectors; queries are timed in it.
        prefixes: widths that were trained besides the whole.
    """

    dataset: Dataset
    towers: TwoTower | None
    index: VectorIndex
    embedding: Path
    building: Path
    settings: EvaluateSettings
    budget: Budget | None
    seed: int
    precision: Precision = "32"
    prefixes: Sequence[int] = ()


def evaluate(evaluation: Evaluation, folder: Path) -> None:
    """Writes ``metrics.json`` and, for each part, ``per_query_<part>.parquet``: a row for each example with labels, in its order.

    Its column ``query`` says whose example it is; where events carry their own texts, a query is there once for each text. Where there are
    no labels at all, every query has a row, and no figure but the recall against exact search.
    """
    metrics: Metrics = {}
    for part in _parts(evaluation):
        metrics |= _measure_part(evaluation, part, folder)
    metrics |= _latencies(evaluation)
    metrics |= {f"index/{name}": value for name, value in _read(evaluation.building / BUILDING).items()}
    if evaluation.budget is not None:
        metrics["budget/met"] = float(not missed(evaluation.budget, metrics))
    (folder / METRICS).write_text(json.dumps(metrics, indent=1, sort_keys=True), encoding="utf-8")


def _parts(evaluation: Evaluation) -> list[Split]:
    """The parts that are to be measured and have queries."""
    return [part for part in PARTS if part in evaluation.settings.parts and len(load_vectors(evaluation.embedding, queries_file(part)))]


def load_metrics(folder: Path) -> Metrics:
    """The figures that the stage wrote."""
    return _read(folder / METRICS)


def copy_per_query(evaluated: Path, folder: Path) -> None:
    """Puts each query's figures beside the run's own, for paired comparisons."""
    for path in evaluated.glob("per_query_*.parquet"):
        (folder / path.name).unlink(missing_ok=True)
        link_or_copy(path, folder / path.name)


def embedding_metrics(embedding: Path) -> Metrics:
    """What the embed stage took."""
    return {f"embed/{name}": value for name, value in _read(embedding / EMBEDDING).items()}


def _measure_part(evaluation: Evaluation, part: Split, folder: Path) -> Metrics:
    block = evaluation.dataset.eval_part(part)
    queries = load_vectors(evaluation.embedding, queries_file(part))
    items = load_vectors(evaluation.embedding, ITEMS)
    exact = exact_search(queries, items, ANN_CUTOFF, evaluation.index.metric)
    found = evaluation.index.search(queries, ANN_CUTOFF)
    recall = recall_per_query(found, exact, queries, items, evaluation.index.metric)
    metrics = _with_intervals(f"{part}/ann", {RECALL: recall}, evaluation)
    if len(block.relevant.values):
        quality, examples = _quality(evaluation, part, block, queries, items)
        metrics |= quality
        recall = recall[np.diff(block.relevant.offsets) > 0]
        np.save(folder / f"results_{part}.npy", _examples(examples.result, evaluation.settings.examples))
        table = examples.table
    else:
        rows = block.query_rows if evaluation.dataset.vectors is None else np.load(evaluation.embedding / rows_file(part))
        table = {"query": evaluation.dataset.query_ids.gather(rows).to_list(), "answers": [""] * len(queries)}
        if isinstance(evaluation.index, FaissIndex):
            judge = Unlabelled(queries=queries, items=items, exact=exact, metric=evaluation.index.metric)
            steps = lost(judge, evaluation.index, 1.0, metrics[f"{part}/ann/{RECALL}"])
            metrics |= {f"{part}/ann/lost/{step}": value for step, value in steps.items() if step != "model"}
    pl.DataFrame({**table, f"ann/{RECALL}": recall}).write_parquet(folder / f"per_query_{part}.parquet")
    return metrics


@dataclass(frozen=True, slots=True)
class _Examples:
    """The examples of a part one by one: their figures as columns, and the ten best of each."""

    table: dict[str, Any]
    result: SearchResult


def _quality(evaluation: Evaluation, part: str, block: EvalPart, queries: FloatArray, items: FloatArray) -> tuple[Metrics, _Examples]:
    """Figures against the labels: through exact search (``model``) and through the index (``index``), for the first ten asked for ten."""
    seen = block.seen if evaluation.settings.exclude_seen else None
    depth = DEFAULT_CUTOFFS.deepest
    ten = search_excluding(evaluation.index, queries, TEN.deepest, seen)
    results = {
        "model": (exact_search(queries, items, depth, evaluation.index.metric, exclude=seen), None),
        "index": (search_excluding(evaluation.index, queries, depth, seen), ten),
    }
    ids = evaluation.dataset.query_ids.gather(block.query_rows).to_list()
    judged: Sequence[str] = ()
    columns: dict[str, FloatArray] = {}
    metrics: Metrics = {}
    for kind, (deep, first) in results.items():
        found = evaluate_ranking(deep, block.relevant, block.gains, ids).per_query
        judged, values = found.query_ids, dict(found.values)
        if first is not None:
            values |= evaluate_ranking(first, block.relevant, block.gains, ids, TEN).per_query.values
        metrics |= _with_intervals(f"{part}/{kind}", values, evaluation)
        columns |= {f"{kind}/{name}": figures for name, figures in values.items()}
    labelled = Labelled(queries=queries, items=items, relevant=block.relevant, gains=block.gains, seen=seen, metric=evaluation.index.metric)
    metrics |= _accounted(evaluation, part, labelled, metrics)
    answers = _answers(block.relevant, evaluation.dataset.item_ids.to_list())
    return metrics, _Examples({"query": list(judged), "answers": answers, **columns}, ten)


def _answers(relevant: Ragged, item_ids: Sequence[str]) -> list[str]:
    """Of each example that has answers a word for them: the same for the same items."""
    bounds, rows = relevant.offsets.tolist(), relevant.values.tolist()
    ids = (sorted(item_ids[row] for row in rows[start:end]) for start, end in itertools.pairwise(bounds) if end > start)
    return [hashlib.blake2b("\n".join(each).encode(), digest_size=8).hexdigest() for each in ids]


def _accounted(evaluation: Evaluation, part: str, labelled: Labelled, metrics: Mapping[str, float]) -> Metrics:
    """Where recall is lost, and what each prefix that was trained, or is searched, would leave of it."""
    found: Metrics = {}
    index = evaluation.index
    if isinstance(index, FaissIndex):
        steps = lost(labelled, index, metrics[f"{part}/model/{RECALL}"], metrics[f"{part}/index/{RECALL}"])
        found |= {f"{part}/lost/{step}": value for step, value in steps.items()}
    searched = index.prefix_dim if isinstance(index, FaissIndex) else None
    for dim in sorted({*evaluation.prefixes, *([] if searched is None else [searched])}):
        found |= _with_intervals(f"{part}/prefix/{dim}", {RECALL: prefix_recall(labelled, dim)}, evaluation)
    return found


def _with_intervals(prefix: str, values: Mapping[str, FloatArray], evaluation: Evaluation) -> Metrics:
    intervals = mean_intervals(values, seed=evaluation.seed, resamples=evaluation.settings.resamples)
    metrics: Metrics = {}
    for name, estimate in intervals.items():
        metrics |= {f"{prefix}/{name}": estimate.value, f"{prefix}/{name}/ci_low": estimate.low, f"{prefix}/{name}/ci_high": estimate.high}
    return metrics


def _examples(result: SearchResult, count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Rows and scores of the first queries' best ten, ``(count, 2, 10)``."""
    return np.stack([result.rows[:count, :10].astype(np.float64), result.scores[:count, :10].astype(np.float64)], axis=1)


def _latencies(evaluation: Evaluation) -> Metrics:
    """Single queries one after the other on one thread: the search alone, and tower and search together."""
    parts = _parts(evaluation)
    if not parts:
        return {}
    part = parts[-1]
    vectors = np.ascontiguousarray(load_vectors(evaluation.embedding, queries_file(part))[: evaluation.settings.latency_queries])
    with single_thread():
        search = measure_latency(lambda number: evaluation.index.search(vectors[number : number + 1], ANN_CUTOFF), len(vectors))
        metrics = _percentiles("search", search)
        if evaluation.towers is not None and evaluation.settings.time_queries:
            metrics |= _percentiles("query", _query_latency(evaluation, evaluation.towers, part, len(vectors)))
    return metrics


def _query_latency(evaluation: Evaluation, towers: TwoTower, part: Split, count: int) -> Latency:
    features = [evaluation.dataset.queries(part, np.array([number])) for number in range(count)]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def answer(number: int) -> None:
        vector = towers.embed_queries(features[number]).float().numpy()
        evaluation.index.search(vector, ANN_CUTOFF)

    try:
        with evaluating(towers, evaluation.precision):
            return measure_latency(answer, count)
    finally:
        torch.set_num_threads(threads)


def _percentiles(prefix: str, latency: Latency) -> Metrics:
    return {f"{prefix}/p50_ms": latency.p50_ms, f"{prefix}/p95_ms": latency.p95_ms, f"{prefix}/p99_ms": latency.p99_ms}


def _read(path: Path) -> Metrics:
    content: Metrics = json.loads(path.read_text(encoding="utf-8"))
    return content
