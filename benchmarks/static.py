"""The tower of static token vectors, from random ones, on 10,000 question-answer pairs, against BM25 (bm25s) on the same test questions.

BM25 stands there twice: in bm25s' defaults, and stemmed with k1 = .9, b = .4.

With --data the pairs are 10,000 of tldr's training part and the answers all its pages; without it they are made up: answers of words
from a long-tailed vocabulary, questions of some of their words, half of these replaced by a synonym that no answer has.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from common import arguments, finish, metrics_of, outputs, run_ours, run_peer, table

from tt_hydra.contracts import Estimate, Ragged, SearchResult
from tt_hydra.metrics.ranking import evaluate_ranking
from tt_hydra.metrics.significance import difference_interval, mean_interval
from tt_hydra.tower.pretrained import location

PAIRS = 10_000
METRICS = ("ndcg@10", "recall@10", "mrr@10")
SEED = 0
OVERRIDES = [
    "tower=static",
    "negatives=in_batch",
    "train.batch_size=1024",
    "train.max_epochs=8",
    "temperature.start=0.1",
    "logger=none",
    "runtime.progress_bar=false",
]

Rows = Sequence[Mapping[str, str]]
Judgements = list[tuple[str, str]]


def main() -> None:
    given = arguments(__doc__ or "")
    with tempfile.TemporaryDirectory(dir=_made(outputs() / "benchmarks")) as place:
        folder = Path(place) / "pairs"
        folder.mkdir()
        if given.data is None:
            _write(folder, *_made_up(np.random.default_rng(SEED)))
        else:
            _cut(given.data / "tldr", folder)
        _compare(folder, Path(place) / "outputs")


def _compare(folder: Path, fresh: Path) -> None:
    """Trains ours in a store of its own, so that the training is done and not found."""
    started = time.perf_counter()
    run = run_ours("static", ["data=beir", f"data.path={folder}", f"runtime.outputs={fresh}", *OVERRIDES])
    whole, trained = time.perf_counter() - started, metrics_of(run)["stage/train/seconds"]
    ours = pl.read_parquet(run / "per_query_test.parquet").sort("query")
    run_peer("bm25.py", str(folder), str(folder / "found.json"))
    figures = {"ours/train_seconds": trained, "ours/run_seconds": whole}
    rows = [["tower=static", f"{trained:.1f}", *(_shown(mean_interval(ours[f"model/{metric}"].to_numpy())) for metric in METRICS)]]
    figures |= {f"ours/{metric}": float(ours[f"model/{metric}"].mean()) for metric in METRICS}
    for name, found in json.loads((folder / "found.json").read_text(encoding="utf-8")).items():
        peer = _judged(folder, found["ranked"]).sort("query")
        if not ours["query"].equals(peer["query"]):
            raise SystemExit("the two arms did not judge the same questions")
        figures |= {f"peer/{name}/{metric}": float(peer[metric].mean()) for metric in METRICS}
        figures[f"peer/{name}/seconds"] = found["seconds"]
        rows.append([name, f"{found['seconds']:.1f}", *(_shown(mean_interval(peer[metric].to_numpy())) for metric in METRICS)])
        differences = {metric: difference_interval(ours[f"model/{metric}"].to_numpy(), peer[metric].to_numpy()) for metric in METRICS}
        rows.append([f"static - {name}", "", *map(_shown, differences.values())])
        figures |= {f"diff/{name}/ndcg@10/ci_low": differences["ndcg@10"].low, f"diff/{name}/ndcg@10/ci_high": differences["ndcg@10"].high}
    table(f"{PAIRS} pairs, test questions, 95% bootstrap intervals by question", ["", "seconds", *METRICS], rows)
    finish("static", figures)


def _shown(estimate: Estimate) -> str:
    return f"{estimate.value:.4f} [{estimate.low:.4f}, {estimate.high:.4f}]"


def _judged(folder: Path, ranked: Mapping[str, list[str]]) -> pl.DataFrame:
    """The metrics of each test question."""
    place = {row["_id"]: number for number, row in enumerate(_lines(folder / "corpus.jsonl"))}
    relevant: dict[str, list[int]] = {}
    for question, document in _judgements(folder / "qrels" / "test.tsv"):
        relevant.setdefault(question, []).append(place[document])
    lists = [np.unique(rows) for rows in relevant.values()]
    labels = Ragged(np.concatenate(lists), np.cumsum([0, *map(len, lists)]))
    found = np.array([[place[document] for document in ranked[question]] for question in relevant])
    falling = np.broadcast_to(-np.arange(found.shape[1], dtype=np.float32), found.shape)
    judged = evaluate_ranking(SearchResult(falling, found), labels, query_ids=list(relevant)).per_query
    return pl.DataFrame({"query": list(judged.query_ids), **{metric: judged.values[metric] for metric in METRICS}})


def _cut(source: Path, folder: Path) -> None:
    """tldr with a training part of ``PAIRS`` pairs, drawn by the seed."""
    (folder / "qrels").mkdir()
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/dev.tsv", "qrels/test.tsv"):
        shutil.copyfile(source / name, folder / name)
    train = _judgements(source / "qrels" / "train.tsv")
    chosen = np.random.default_rng(SEED).permutation(len(train))[:PAIRS]
    _write_judgements(folder / "qrels" / "train.tsv", [train[number] for number in np.sort(chosen)])


def _made_up(random: np.random.Generator) -> tuple[Rows, Rows, dict[str, Judgements]]:
    """Answers, questions and which belong together: 10,000 pairs to train on, 1,000 questions each for validation and test."""
    answers, held_out = 6000, 1000
    known = (Path(location(None)) / "vocab.txt").read_text(encoding="utf-8").split()
    words = np.array([word for word in known if re.fullmatch("[a-z]{4,}", word)])
    plain, other = words[::2], words[1::2]
    often = 1.0 / np.arange(20, len(plain) + 20)
    drawn = [random.choice(len(plain), 20, p=often / often.sum()) for _ in range(answers)]
    questions, parts = [], {"train": PAIRS, "dev": held_out, "test": held_out}
    judgements: dict[str, Judgements] = {}
    for part, count in parts.items():
        for number in range(count):
            answer = int(random.integers(answers))
            own = random.choice(drawn[answer], 5, replace=False)
            asked = [other[word % len(other)] if random.random() < 0.5 else plain[word] for word in own]
            questions.append({"_id": f"{part}{number}", "text": " ".join(asked)})
            judgements.setdefault(part, []).append((f"{part}{number}", f"a{answer}"))
    documents = [{"_id": f"a{number}", "text": " ".join(plain[row])} for number, row in enumerate(drawn)]
    return documents, questions, judgements


def _write(folder: Path, documents: Rows, questions: Rows, judgements: Mapping[str, Judgements]) -> None:
    (folder / "qrels").mkdir()
    for name, rows in (("corpus", documents), ("queries", questions)):
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    for part, pairs in judgements.items():
        _write_judgements(folder / "qrels" / f"{part}.tsv", pairs)


def _write_judgements(path: Path, pairs: Judgements) -> None:
    lines = "".join(f"{question}\t{document}\t1\n" for question, document in pairs)
    path.write_text(f"query-id\tcorpus-id\tscore\n{lines}", encoding="utf-8")


def _judgements(path: Path) -> Judgements:
    with path.open(encoding="utf-8") as file:
        return [(row["query-id"], row["corpus-id"]) for row in csv.DictReader(file, delimiter="\t") if float(row["score"]) > 0]


def _lines(path: Path) -> list[dict[str, str]]:
    def rows() -> Iterator[dict[str, str]]:
        with path.open(encoding="utf-8") as file:
            yield from map(json.loads, file)

    return list(rows())


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    main()
