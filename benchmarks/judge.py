"""A peer's text vectors, and what they are worth on a data set's judgements, by our metric code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from beir_files import Texts
from common import run_peer

from tt_hydra.contracts import Ragged
from tt_hydra.metrics.exact import exact_search
from tt_hydra.metrics.ranking import DEFAULT_CUTOFFS, evaluate_ranking
from tt_hydra.metrics.significance import difference_interval, mean_interval

METRIC = "ndcg@10"


def sbert_vectors(texts: Texts, folder: Path, setting: Mapping[str, Any]) -> Path:
    """Trains the peer on the training pairs and embeds all queries and documents into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    texts.write_pairs(texts.pairs("train"), folder / "pairs.jsonl")
    told = {**setting, "pairs": str(folder / "pairs.jsonl"), "vectors": str(folder)}
    for name, values in (("queries", texts.queries), ("items", texts.documents)):
        path = folder / f"{name}.json"
        path.write_text(json.dumps(list(values.values())), encoding="utf-8")
        told[name] = str(path)
    run_peer("sbert_train.py", json.dumps(told))
    return folder


def per_query(texts: Texts, folder: Path, part: str = "test") -> pl.DataFrame:
    """The figures of each query of a part, by what ``sbert_vectors`` left in ``folder``."""
    queries, items = (np.load(folder / f"{name}.npy").astype(np.float32) for name in ("queries", "items"))
    rows = {document: number for number, document in enumerate(texts.documents)}
    relevant: dict[str, list[int]] = {}
    for query, document in texts.pairs(part):
        relevant.setdefault(query, []).append(rows[document])
    numbers = {query: number for number, query in enumerate(texts.queries)}
    result = exact_search(queries[[numbers[query] for query in relevant]], items, DEFAULT_CUTOFFS.deepest, "cosine")
    offsets = np.cumsum([0, *map(len, relevant.values())])
    found = evaluate_ranking(result, Ragged(np.concatenate(list(relevant.values())), offsets), None, list(relevant)).per_query
    return pl.DataFrame({"query": list(found.query_ids), METRIC: found.values[METRIC]})


def compare(ours: pl.DataFrame, peer: pl.DataFrame) -> tuple[dict[str, float], list[str]]:
    """Figures and cells of a table: both means and the interval of the paired difference.

    Args:
        ours: what a run of ours wrote of each query.
        peer: the same of ``per_query``.
    """
    joined = ours.select("query", ours=f"model/{METRIC}").join(peer.rename({METRIC: "peer"}), on="query", how="inner")
    if not len(joined) == len(ours) == len(peer):
        raise SystemExit("the two arms did not judge the same queries")
    sides = [joined[name].to_numpy() for name in ("ours", "peer")]
    difference = difference_interval(*sides)
    means = [mean_interval(values) for values in sides]
    figures = {f"{name}/{METRIC}": mean.value for name, mean in zip(("ours", "peer"), means, strict=True)}
    figures |= {f"diff/{METRIC}": difference.value, f"diff/{METRIC}/ci_low": difference.low, f"diff/{METRIC}/ci_high": difference.high}
    cells = [f"{mean.value:.4f} [{mean.low:.4f}, {mean.high:.4f}]" for mean in means]
    return figures, [*cells, f"{difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]"]
